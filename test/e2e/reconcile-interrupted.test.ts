/** A comparison that is cancelled, whose worker is killed, or whose source is paused: nothing is left behind, and what it finds is right. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { temporal } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';

describeWith({ postgres: true, temporal: true }, 'an interrupted reconcile', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  /** Sessions that wait for the lock that the test holds on the table. */
  const blocked = async () => Number(await source.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'account'::regclass"));
  const lastRun = () => target.value("SELECT status FROM tidemark.run WHERE scope->>'kind' = 'reconcile' AND ended_at IS NOT NULL ORDER BY requested_at DESC LIMIT 1");
  /** Begins a reconcile that hangs in its look at the source, and hands over what lets it go on. */
  const hanging = async () => {
    const holder = await source.client();
    await holder.query('BEGIN; LOCK TABLE account IN ACCESS EXCLUSIVE MODE');
    const command = tidemark.begin('reconcile', 'bank', '--json');
    await waitFor('the look to hang', async () => ((await blocked()) > 0 ? true : null));
    return { ...command, release: async () => void (await holder.query('ROLLBACK')) };
  };

  beforeAll(async () => {
    [source, target] = [await createDatabase('bank'), await createDatabase('target')];
    await source.query("CREATE TABLE account (id int PRIMARY KEY, note text, at timestamptz NOT NULL DEFAULT now()); INSERT INTO account SELECT n, 'n' || n FROM generate_series(1, 1000) n");
    tidemark = await Tidemark.start(`destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - { id: bank, kind: postgres, connection: ${source.connection}, streams: [{ table: account, cursor: at }] }\n`, { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.must('sync', 'bank', '--json');
    await target.query('DELETE FROM bank.account WHERE id = 7');
  });

  test('interrupted: the command ends with 130, the run is cancelled, and no statement goes on at the source', async () => {
    const { result, kill, release } = await hanging();
    kill('SIGINT');
    expect((await result).code).toBe(130);
    await waitFor('the statement to be cancelled', async () => ((await blocked()) === 0 ? true : null));
    await release();
    await waitFor('the end of the run', async () => ((await lastRun()) === 'cancelled' ? true : null));
  });

  test('a paused source is compared all the same, and stays as it is', async () => {
    await tidemark.must('pause', 'bank', '--json');
    const { code, json } = await tidemark.run('reconcile', 'bank', '--json');
    expect({ code, json }).toMatchObject({ code: 1, json: { streams: [{ missing: 1, extra: 0, different: 0 }] } });
    expect(await target.value('SELECT count(*) FROM bank.account')).toBe('999');
    await tidemark.must('resume', 'bank', '--json');
  });

  test('killed in the middle: another worker compares from the start, and names the key once', async () => {
    const { result, release } = await hanging();
    await tidemark.workers[0]!.kill();
    tidemark.startWorker();
    await tidemark.workerReady(2);
    await release();
    const { code, json } = await result;
    expect({ code, json }).toMatchObject({ code: 1, json: { streams: [{ sourceRows: 1000, targetRows: 999, missing: 1 }] } });
    expect(await target.query("SELECT kind, key->>'id' AS id FROM tidemark.difference")).toEqual([{ kind: 'missing', id: '7' }]);
    expect((await tidemark.run('reconcile', 'bank', '--repair', '--json')).code).toBe(0);
    expect(await target.value('SELECT count(*) FROM bank.account')).toBe('1000');
  });

  test('terminated in Temporal: the command fails, and the history says that the run is lost', async () => {
    const { result, release } = await hanging();
    const { TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE } = tidemark.env;
    const workflow = await waitFor('the run', () => target.value("SELECT workflow_id FROM tidemark.run WHERE status = 'comparing'"));
    temporal(TEMPORAL_ADDRESS!, TEMPORAL_NAMESPACE!, ['workflow', 'terminate', '--workflow-id', workflow, '--reason', 'test']);
    expect((await result).code).toBe(1);
    await release();
    await waitFor('the end of the run', async () => ((await lastRun()) === 'lost' ? true : null), 120_000);
    expect((await tidemark.run('runs', 'bank', '--json')).json?.runs?.[0]).toMatchObject({ kind: 'reconcile', status: 'lost', endedAt: expect.any(String) });
  });
});
