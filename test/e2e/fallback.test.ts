/** While the primary can't be reached its replica is read instead: never behind what was read before, never another server, never a reason to park. */
import { compareTables } from '../support/compare.ts';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import { createDatabase, PostgresDatabase, PrivatePostgres } from '../support/postgres.ts';
import { freePort, waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { Tidemark } from '../support/tidemark.ts';

interface Line {
  readonly status: string;
  readonly error: { readonly code: string } | null;
  readonly breaker: { readonly state: string };
  readonly connection: string;
}

describeWith({ postgres: true, temporal: true }, 'a fallback', () => {
  let server: PrivatePostgres;
  let standby: PrivatePostgres;
  let primary: PostgresDatabase;
  let replica: PostgresDatabase;
  let other: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const file = (fallback: string) => `destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - id: hq
    kind: postgres
    connection: ${primary.connection}
    fallback: ${fallback}
    breaker: { failures: 2, cooldown: 1h, successes: 1 }
    streams: [{ table: t, cursor: at }, { table: whole, key: [id] }]
`;
  const status = async () => ((await tidemark.must('status', 'hq', '--json')).streams ?? []) as unknown as readonly Line[];
  const ends = async () => (await tidemark.run('sync', 'hq', '--json')).json?.streams?.map((each) => [each.status, each.error?.code ?? null]);
  const equal = async () => {
    for (const name of ['t', 'whole']) expect((await compareTables(replica, name, target, `hq.${name}`, ['id'])).differences).toEqual([]);
  };
  const caughtUp = async () => {
    const lsn = await primary.value('SELECT pg_current_wal_lsn()');
    await waitFor('the standby', async () => ((await replica.value('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn', [lsn])) === 't' ? true : null));
  };
  const parked = () => target.value('SELECT count(*) FROM tidemark.stream WHERE parked IS NOT NULL');

  beforeAll(async () => {
    server = await PrivatePostgres.start({ synchronous_commit: 'on' });
    [primary, other, target] = [await server.createDatabase('primary'), await createDatabase('other'), await createDatabase('target')];
    for (const database of [primary, other]) {
      await database.query("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL); INSERT INTO t VALUES (1, '2026-01-01Z'); CREATE TABLE whole (id int PRIMARY KEY, v text); INSERT INTO whole VALUES (1, 'a')");
    }
    standby = await server.standby();
    replica = new PostgresDatabase(standby.server, primary.name);
    onFileEnd(() => replica.close());
    tidemark = await Tidemark.start(file(replica.connection), { ...primary.secrets, OTHER_PASSWORD: other.server.password, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.must('sync', 'hq', '--json');
    expect((await status())[0]).toMatchObject({ connection: 'primary', breaker: { state: 'closed' } });
  });

  test('serves the syncs while the breaker of the primary is open', async () => {
    await primary.query("INSERT INTO t VALUES (2, '2026-01-02Z'); INSERT INTO whole VALUES (2, 'b'); DELETE FROM whole WHERE id = 1");
    await caughtUp();
    await server.stop();
    expect(await ends()).toEqual([['completed', null], ['completed', null]]);
    expect(await ends()).toEqual([['completed', null], ['completed', null]]);
    await equal();
    expect(await target.value('SELECT count(*) FROM hq.t')).toBe('2');
    expect((await status())[0]).toMatchObject({ status: 'completed', connection: 'fallback', breaker: { state: 'open' } });
  });

  test('is not used for what may act on rows that a replica does not have yet', async () => {
    const { code, json } = await tidemark.run('reconcile', 'hq', '--json');
    expect([code, json?.error?.code]).toEqual([1, 'source.breaker_open']);
  });

  test('goes back to the primary, and what was read from the replica is not read wrongly there', async () => {
    await server.restart();
    await tidemark.must('resume', 'hq', '--force', '--json');
    await primary.query("INSERT INTO t VALUES (3, '2026-01-03Z')");
    await caughtUp();
    expect(await ends()).toEqual([['completed', null], ['completed', null]]);
    await equal();
    expect((await status())[0]).toMatchObject({ connection: 'primary', breaker: { state: 'closed' } });
  });

  test('that lags behind the last read is skipped until it has caught up: no row goes, nothing parks', async () => {
    await caughtUp();
    await replica.query('SELECT pg_wal_replay_pause()');
    await waitFor('the replay to pause', async () => ((await replica.value('SELECT pg_get_wal_replay_pause_state()')) === 'paused' ? true : null));
    await primary.query("INSERT INTO t VALUES (4, '2026-01-04Z'); INSERT INTO whole VALUES (4, 'd')");
    expect(await ends()).toEqual([['completed', null], ['completed', null]]);
    await server.stop();
    for (let round = 0; round < 2; round += 1) expect(await ends()).toEqual([['skipped', 'source.replica_behind'], ['skipped', 'source.replica_behind']]);
    const full = await tidemark.run('sync', 'hq', '--full', '--json');
    expect(full.json?.streams?.map((each) => each.error?.code)).toEqual(['source.replica_behind', 'source.replica_behind']);
    expect(await target.query('SELECT id FROM hq.t ORDER BY id')).toEqual([1, 2, 3, 4].map((id) => ({ id: String(id) })));
    expect(await parked()).toBe('0');
    await replica.query('SELECT pg_wal_replay_resume()');
    await waitFor('the standby', async () => ((await replica.value('SELECT count(*) FROM whole WHERE id = 4')) === '1' ? true : null));
    expect(await ends()).toEqual([['completed', null], ['completed', null]]);
    await equal();
  });

  test('that is no replica of the primary is refused, and nothing is read from it', async () => {
    await other.query("INSERT INTO t VALUES (99, '2026-02-01Z')");
    tidemark.configure(file(other.connection.replace('POSTGRES_PASSWORD', 'OTHER_PASSWORD')));
    await tidemark.apply();
    const { code, json } = await tidemark.run('sync', 'hq', '--json');
    expect(code).toBe(1);
    expect(json?.streams?.map((each) => [each.status, each.error?.code])).toEqual([['skipped', 'source.fallback_unusable'], ['skipped', 'source.fallback_unusable']]);
    expect(json?.streams?.[0]?.error?.message).toContain('not a replica');
    expect(await target.value('SELECT count(*) FROM hq.t WHERE id = 99')).toBe('0');
    expect(await parked()).toBe('0');
  });

  test('that can’t be reached either leaves the syncs skipped', async () => {
    tidemark.configure(file(replica.connection));
    await tidemark.apply();
    await standby.stop();
    await waitFor('both breakers', async () => {
      await tidemark.run('sync', 'hq', '--json');
      return (await target.value("SELECT count(*) FROM tidemark.breaker WHERE state = 'open'")) === '2' ? true : null;
    }, 200_000);
    const { json } = await tidemark.run('sync', 'hq', '--json');
    expect(json?.streams?.[0]).toMatchObject({ status: 'skipped', error: { code: 'source.breaker_open', message: expect.stringContaining("fallback can't be reached either") } });
    await server.restart();
    expect(await tidemark.must('resume', 'hq', '--force', '--json')).toMatchObject({ breakerClosed: ['primary', 'fallback'] });
    expect(await ends()).toEqual([['completed', null], ['completed', null]]);
  });
});

describeWith({ mariadb: true, postgres: true, temporal: true }, 'a fallback that is another way to the same server', () => {
  test('makes even the first load, and the primary goes on from there', async () => {
    const [database, target, closed] = [await createMariadb('fallback'), await createDatabase('target'), await freePort()];
    await database.query("CREATE TABLE t (id int PRIMARY KEY, at datetime(6) NOT NULL DEFAULT current_timestamp(6)); INSERT INTO t (id) VALUES (1), (2)");
    const file = (connection: string) => `destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - { id: shop, kind: mysql, connection: ${connection}, fallback: ${database.connection}, breaker: { failures: 2, cooldown: 1h }, streams: [{ table: t, cursor: at }] }
`;
    const tidemark = await Tidemark.start(file(database.connection.replace(/port: \d+/, `port: ${closed}`)), { ...database.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    expect((await tidemark.must('sync', 'shop', '--json')).streams?.[0]).toMatchObject({ status: 'completed', written: 2 });
    const shown = async () => (await tidemark.must('status', 'shop', '--json')).streams?.[0] as unknown as Line;
    expect(await shown()).toMatchObject({ connection: 'fallback', breaker: { state: 'open' } });
    tidemark.configure(file(database.connection));
    await tidemark.apply();
    await database.query('INSERT INTO t (id) VALUES (3)');
    await tidemark.must('sync', 'shop', '--json');
    expect(await shown()).toMatchObject({ status: 'completed', connection: 'primary', breaker: { state: 'closed' } });
    expect(await target.value('SELECT count(*) FROM shop.t')).toBe('3');
  });
});
