/** Ctrl-C while `sync` is still starting its runs: none of them goes on behind the user's back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { listWorkflows } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';

/** For the command to take notice of a signal. */
const NOTICE_MS = 500;

describeWith({ postgres: true, temporal: true }, 'a sync that is interrupted at its start', () => {
  test('a run that was started, but whose start has not been answered, is cancelled', async () => {
    const [source, target] = [await createDatabase('bank'), await createDatabase('target')];
    await source.query("CREATE TABLE account (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now()); INSERT INTO account SELECT generate_series(1, 10)");
    const tidemark = await Tidemark.start(`destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - { id: bank, kind: postgres, connection: ${source.connection}, streams: [{ table: account, cursor: at }] }\n`, { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    const { TEMPORAL_ADDRESS: address = '', TEMPORAL_NAMESPACE: namespace = '' } = tidemark.env;
    const [host = '', port] = address.split(':');
    const proxy = await TcpProxy.before({ host, port: Number(port) });
    tidemark.env['TEMPORAL_ADDRESS'] = `${proxy.host}:${proxy.port}`;
    proxy.forgetAt((bytes) => {
      // From the next bytes on.
      if (bytes.includes('syncSource')) setImmediate(() => proxy.set({ kind: 'black hole' }));
      return null;
    });
    const holder = await source.client();
    await holder.query('BEGIN; LOCK TABLE account IN ACCESS EXCLUSIVE MODE');

    const { result, kill } = tidemark.begin('sync', '--all', '--json');
    await waitFor('the run to begin', async () => ((await target.value('SELECT count(*) FROM tidemark.run')) === '1' ? true : null));
    kill('SIGINT');
    await sleep(NOTICE_MS);
    proxy.set(null);
    expect((await result).code).toBe(130);
    await holder.query('ROLLBACK');
    const ended = await waitFor('the run to end', () => {
      const [run] = listWorkflows(address, namespace, "WorkflowType = 'syncSource'");
      return run === undefined || run.status === 'WORKFLOW_EXECUTION_STATUS_RUNNING' ? null : run.status;
    });
    expect(ended).toBe('WORKFLOW_EXECUTION_STATUS_CANCELED');
  });
});
