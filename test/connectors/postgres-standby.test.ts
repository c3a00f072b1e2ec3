/** Reading from a hot standby: what it has not replayed yet is not taken for rows that are not there. */
import { describeWith } from '../support/describe-with.ts';
import { PostgresDatabase, PrivatePostgres } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { MiniEngine } from './postgres-engine.ts';

describeWith({ postgres: true }, 'a standby as a source', () => {
  let primary: PostgresDatabase;
  let replica: PostgresDatabase;

  beforeAll(async () => {
    const server = await PrivatePostgres.start({ synchronous_commit: 'on' });
    primary = await server.createDatabase('standby');
    await primary.query("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL); INSERT INTO t SELECT n, '2026-01-01Z' FROM generate_series(1, 5) n");
    replica = new PostgresDatabase((await server.standby()).server, primary.name);
  });

  afterAll(() => replica.close());

  const caughtUp = async () => {
    const lsn = await primary.value('SELECT pg_current_wal_lsn()');
    await waitFor('the standby', async () => ((await replica.value('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn', [lsn])) === 't' ? true : null));
  };

  test('a transaction that was in progress in its snapshot is read by the run after its commit', async () => {
    await caughtUp();
    const engine = await MiniEngine.for(replica, 't', 'at');
    await engine.run();
    const [slow, fast] = [await primary.client(), await primary.client()];
    await slow.query('BEGIN');
    await slow.query("INSERT INTO t VALUES (100, '2026-01-02Z')");
    await fast.query("INSERT INTO t VALUES (101, '2026-01-03Z')");
    await caughtUp();
    await engine.run();
    expect([...engine.target.keys()]).toContain('101');
    await slow.query('COMMIT');
    await caughtUp();
    expect(await engine.poll()).toBe(true);
    await engine.run();
    expect([...engine.target.keys()].sort()).toEqual(['1', '100', '101', '2', '3', '4', '5']);
  });

  test('one that lags behind the position is refused until it has caught up, then nothing is missing', async () => {
    const engine = await MiniEngine.for(primary, 't', 'at');
    await engine.run();
    await caughtUp();
    await replica.query('SELECT pg_wal_replay_pause()');
    await waitFor('the pause', async () => ((await replica.value('SELECT pg_get_wal_replay_pause_state()')) === 'paused' ? true : null));
    await primary.query("INSERT INTO t VALUES (200, '2026-01-04Z')");
    await engine.run();
    const behind = await MiniEngine.for(replica, 't', 'at');
    for (const [key, row] of engine.target) behind.target.set(key, row);
    behind.position = engine.position;
    await expect(behind.poll()).rejects.toMatchObject({ code: 'source.replica_behind', retry: 'transient' });
    await expect(behind.batch()).rejects.toMatchObject({ code: 'source.replica_behind' });
    await primary.query("INSERT INTO t VALUES (201, '2026-01-05Z')");
    await replica.query('SELECT pg_wal_replay_resume()');
    await caughtUp();
    await behind.run();
    await behind.expectEqual();
    // And back: what the standby has read the primary has, too.
    engine.position = behind.position;
    for (const [key, row] of behind.target) engine.target.set(key, row);
    await primary.query("INSERT INTO t VALUES (202, '2026-01-06Z')");
    await engine.run();
    await engine.expectEqual();
  });
});
