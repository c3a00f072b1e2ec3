/** Freshness objectives: noticed by Tidemark's own clock, once for each miss, whatever keeps a stream from being fresh. */
import { readFileSync } from 'node:fs';
import { describeWith } from '../support/describe-with.ts';
import { waitFor } from '../support/processes.ts';
import { createDatabase, PrivatePostgres, type PostgresDatabase } from '../support/postgres.ts';
import { Tidemark } from '../support/tidemark.ts';

const source = (id: string, database: PostgresDatabase, objective: string, password: string, schedule = 'poll_interval: 365d') => `
  - id: ${id}
    kind: postgres
    connection: ${database.connection.replace('POSTGRES_PASSWORD', password)}
    ${schedule}
    streams: [{ table: account, cursor: changed, freshness: ${objective} }]`;

type Told = { readonly type: string; readonly data: { readonly reason: string; readonly lagSeconds: number; readonly objectiveSeconds: number; readonly missedSeconds: number } };

describeWith({ postgres: true, temporal: true }, 'freshness', () => {
  let bank: PostgresDatabase;
  let target: PostgresDatabase;
  let mortal: PrivatePostgres;
  let tidemark: Tidemark;
  const told = async (id: string): Promise<Told[]> =>
    (await target.query("SELECT type, data FROM tidemark.event WHERE source = $1 AND type LIKE 'Freshness%' ORDER BY id", [id])).map(({ type, data }) => ({ type: type!, data: JSON.parse(data!) as Told['data'] }));
  const tells = (id: string, count: number) => waitFor(`${count} events of ${id}`, async () => ((await told(id)).length >= count ? told(id) : null));
  /** The next event, after `count` of them, which a stream that is fresh when the watch looks brings. One sync may be old again by then. */
  const toldFresh = (id: string, count: number) =>
    waitFor(`${id} to be fresh`, async () => {
      const next = (await told(id)).at(count);
      if (next === undefined) await tidemark.must('sync', id, '--json');
      return next ?? null;
    });
  const statusOf = async (id: string) => ((await tidemark.must('status', id, '--json')) as unknown as { streams: { freshness: { missed: boolean; objectiveSeconds: number }; lagSeconds: number; warnings: string[] }[] }).streams[0]!;
  /** Pauses a source until the watch has let go of it. Returns how many events there are. It misses its objective before: it was told so, and still does, for a run may have outlived what was told. */
  const pausedUnwatched = async (id: string) => {
    await waitFor(`a miss of ${id}`, async () => {
      const { freshness, lagSeconds } = await statusOf(id);
      return (await told(id)).at(-1)?.type === 'FreshnessMissed' && lagSeconds > freshness.objectiveSeconds ? true : null;
    });
    await tidemark.must('pause', id, '--json');
    return waitFor('the end of the watch', async () => {
      const all = await told(id);
      return all.at(-1)?.data.reason === 'not_watched' ? all.length : null;
    });
  };

  beforeAll(async () => {
    [bank, target, mortal] = [await createDatabase('bank'), await createDatabase('target'), await PrivatePostgres.start()];
    const doomed = await mortal.createDatabase('bank');
    for (const database of [bank, doomed]) {
      await database.query("CREATE TABLE account (id int PRIMARY KEY, changed timestamptz NOT NULL DEFAULT clock_timestamp()); INSERT INTO account SELECT g FROM generate_series(1, 5) g");
    }
    const configuration = `
destination: { url: "\${DESTINATION_URL}" }
sources:${source('idle', bank, '6s', 'A', 'schedule: "0 0 1 1 *"')}${source('hung', bank, '6s', 'A')}${source('gone', doomed, '3s', 'B')}${source('easy', bank, '1d', 'A')}`;
    tidemark = await Tidemark.start(configuration, { A: bank.server.password, B: mortal.server.password, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
  });

  test('a schedule that does not fire: told once, with the lag, and again when it is fresh', async () => {
    // A source with an interval is polled when it is resumed: that run would be under way for a while. This one has a cron expression.
    const before = await pausedUnwatched('idle');
    await tidemark.must('resume', 'idle', '--json');
    const missed = (await tells('idle', before + 1)).at(before);
    expect(missed).toMatchObject({ type: 'FreshnessMissed', data: { reason: 'no_run', objectiveSeconds: 6 } });
    expect(missed!.data.lagSeconds).toBeGreaterThan(6);
    expect(await statusOf('idle')).toMatchObject({ freshness: { objectiveSeconds: 6, missed: true, since: expect.any(String) }, warnings: expect.arrayContaining([expect.stringMatching(/^freshness missed: \d+ s, objective 6 s$/)]) });
    await toldFresh('idle', before + 1);
    const events = (await tells('idle', before + 3)).slice(before);
    expect(events.slice(0, 3).map(({ type }) => type)).toEqual(['FreshnessMissed', 'FreshnessRestored', 'FreshnessMissed']);
    expect(events[1]!.data).toMatchObject({ reason: 'fresh', missedSeconds: expect.any(Number) });
  });

  test('a stream that leaves the catalog ends its miss, and so does its source', async () => {
    const missed = async (id: string) => target.value(`SELECT count(*) FROM tidemark.freshness WHERE source = '${id}'`);
    const kept = readFileSync(tidemark.configFile, 'utf8');
    tidemark.configure(`${kept}${source('leaves', bank, '1s', 'A')}`.replace('changed, freshness: 1s }]', 'changed, freshness: 1s }, { table: account, target: leaves.second, cursor: changed, freshness: 1s }]').replace('{ table: account, target', '{ table: public.account, target'));
    await tidemark.apply();
    await waitFor('both misses', async () => ((await missed('leaves')) === '2' ? true : null));
    tidemark.configure(`${kept}${source('leaves', bank, '1s', 'A')}`);
    await tidemark.apply();
    expect(await target.value("SELECT count(*) FROM tidemark.freshness WHERE source = 'leaves' AND stream = 'public.account'")).toBe('0');
    tidemark.configure(kept);
    const { changes } = await tidemark.must('plan', '--json');
    await tidemark.must('apply', '--yes', '--json', ...(changes ?? []).filter(({ destructive }) => destructive).flatMap(({ id }) => ['--approve', id]));
    expect(await missed('leaves')).toBe('0');
    const last = await target.query("SELECT DISTINCT ON (stream) stream, type FROM tidemark.event WHERE source = 'leaves' AND type LIKE 'Freshness%' ORDER BY stream, id DESC");
    expect(last).toEqual(['account', 'public.account'].map((stream) => ({ stream, type: 'FreshnessRestored' })));
  });

  test('a run that hangs', async () => {
    // The run hangs before the watch begins anew, so that it can be told of nothing else: in its load, which is patient with a row that another session holds.
    await bank.query('UPDATE account SET changed = clock_timestamp() WHERE id = 1');
    const client = await target.client();
    await client.query('BEGIN; SELECT FROM hung.account WHERE id = 1 FOR UPDATE');
    const holder = (await client.query<{ pid: string }>('SELECT pg_backend_pid() AS pid')).rows[0]!.pid;
    const sync = tidemark.begin('sync', 'hung', '--json');
    await waitFor('a run that waits for the row', async () => ((await target.value(`SELECT count(*) FROM pg_stat_activity WHERE ${holder} = ANY (pg_blocking_pids(pid))`)) === '0' ? null : true));
    const before = await pausedUnwatched('hung');
    await tidemark.must('resume', 'hung', '--json');
    const events = await tells('hung', before + 1);
    expect(events.at(before)).toMatchObject({ type: 'FreshnessMissed', data: { reason: 'run_hangs' } });
    await client.query('ROLLBACK');
    expect((await sync.result).code).toBe(0);
    expect(await toldFresh('hung', before + 1)).toMatchObject({ type: 'FreshnessRestored', data: { reason: 'fresh' } });
  });

  test('a source that is silent', async () => {
    // Its last run has failed before the watch begins anew, so that it can be told of nothing else.
    await mortal.kill();
    expect((await tidemark.run('sync', 'gone', '--json')).code).toBe(1);
    const before = await pausedUnwatched('gone');
    await tidemark.must('resume', 'gone', '--json');
    expect((await tells('gone', before + 1)).at(before)).toMatchObject({ type: 'FreshnessMissed', data: { reason: 'source_unreachable' } });
  });

  test('what is paused alarms nobody, and one that is fresh is not told of', async () => {
    const count = await pausedUnwatched('idle');
    expect((await told('idle')).at(count - 1)!.type).toBe('FreshnessRestored');
    expect(await statusOf('idle')).toMatchObject({ freshness: { missed: false, since: null } });
    expect(await told('easy')).toEqual([]);
    expect(await target.value("SELECT count(*) FROM tidemark.freshness WHERE source IN ('idle', 'easy')")).toBe('0');
  });
});
