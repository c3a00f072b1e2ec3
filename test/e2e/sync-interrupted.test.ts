/** Ctrl-C while `sync` is still starting its runs: none of them goes on behind the user's back. And a run that is ended while another shares it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { listWorkflows, temporal } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';

/** For the command to take notice of a signal. */
const NOTICE_MS = 500;

const fileOf = (connection: string) =>
  `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - { id: bank, kind: postgres, connection: ${connection}, streams: [{ table: account, cursor: at }] }\n`;

/** A source with one table, held by a lock, and what reads it. */
async function lockedBank() {
  const [source, target] = [await createDatabase('bank'), await createDatabase('target')];
  await source.query("CREATE TABLE account (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now()); INSERT INTO account SELECT generate_series(1, 10)");
  const tidemark = await Tidemark.start(fileOf(source.connection), { ...source.secrets, DESTINATION_URL: target.url });
  await tidemark.apply();
  const holder = await source.client();
  await holder.query('BEGIN; LOCK TABLE account IN ACCESS EXCLUSIVE MODE');
  const { TEMPORAL_ADDRESS: address = '', TEMPORAL_NAMESPACE: namespace = '' } = tidemark.env;
  return { target, tidemark, address, namespace, unlock: () => holder.query('ROLLBACK') };
}

describeWith({ postgres: true, temporal: true }, 'a sync that is interrupted at its start', () => {
  test('a run that was started, but whose start has not been answered, is cancelled', async () => {
    const { target, tidemark, address, namespace, unlock } = await lockedBank();
    const [host = '', port] = address.split(':');
    const proxy = await TcpProxy.before({ host, port: Number(port) });
    tidemark.env['TEMPORAL_ADDRESS'] = `${proxy.host}:${proxy.port}`;
    proxy.forgetAt((bytes) => {
      // From the next bytes on.
      if (bytes.includes('syncSource')) setImmediate(() => proxy.set({ kind: 'black hole' }));
      return null;
    });

    const { result, kill } = tidemark.begin('sync', '--all', '--json');
    await waitFor('the run to begin', async () => ((await target.value('SELECT count(*) FROM tidemark.run')) === '1' ? true : null));
    kill('SIGINT');
    await sleep(NOTICE_MS);
    proxy.set(null);
    expect((await result).code).toBe(130);
    await unlock();
    const ended = await waitFor('the run to end', () => {
      const [run] = listWorkflows(address, namespace, "WorkflowType = 'syncSource'");
      return run === undefined || run.status === 'WORKFLOW_EXECUTION_STATUS_RUNNING' ? null : run.status;
    });
    expect(ended).toBe('WORKFLOW_EXECUTION_STATUS_CANCELED');
  });

  test.each(['cancelled', 'terminated'])('a sync goes on by itself where the waiting one that it shares is %s', async (end) => {
    const { target, tidemark, address, namespace, unlock } = await lockedBank();
    const sync = () => tidemark.begin('sync', 'bank', '--json').result;
    const open = () => listWorkflows(address, namespace, "WorkflowType = 'syncSource' AND ExecutionStatus = 'Running'").map(({ execution }) => execution.workflowId);
    const waiting = (status: string) => waitFor(`a run to be ${status}`, () => target.value(`SELECT workflow_id FROM tidemark.run WHERE status = '${status}'`));
    const first = sync();
    await waiting('running');
    const second = sync();
    const shared = await waiting('waiting');
    const third = sync();
    await waitFor('the third to share', () => (open().length === 3 ? true : null));
    await sleep(NOTICE_MS);
    expect(await target.value('SELECT count(*) FROM tidemark.run')).toBe('2');

    temporal(address, namespace, ['workflow', end === 'cancelled' ? 'cancel' : 'terminate', '--workflow-id', String(shared)]);
    await waitFor('the shared one to be gone', () => (open().length === 2 ? true : null));
    await unlock();
    expect((await first).code).toBe(0);
    expect((await second).code).not.toBe(0);
    expect((await third).json).toMatchObject({ streams: [{ stream: 'account', status: 'completed' }] });
    expect(await target.value('SELECT count(*) FROM bank.account')).toBe('10');
  });
});
