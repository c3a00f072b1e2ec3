/** A source that can't be reached: its breaker opens for all workers, its syncs end as skipped, and it comes back by itself. */
import { askBreaker, endProbe, listBreakers, noteFailure, noteSuccess } from '../../destinations/postgres/breaker.ts';
import { openDestination, type Destination } from '../../destinations/postgres/destination.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, PrivatePostgres } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { Tidemark } from '../support/tidemark.ts';

const LIMITS = { failures: 3, cooldownSeconds: 60, successes: 2 };

describeWith({ postgres: true }, 'the breaker as all workers share it', () => {
  let database: PostgresDatabase;
  let destination: Destination;
  const guarded = { source: 'hq', connection: 'primary' } as const;
  const fail = () => noteFailure(destination, guarded, LIMITS, { code: 'source.unreachable', openedAt: null });
  const ask = (token: string) => destination.session('asking', (session) => askBreaker(session, guarded, token));
  const state = async () => (await destination.session('reading', (session) => listBreakers(session, ['hq'])))[0];
  const elapse = () => database.query("UPDATE tidemark.breaker SET retry_at = now() - interval '1 second' WHERE state = 'open'");
  const events = async () => (await database.query("SELECT type FROM tidemark.event WHERE source = 'hq' ORDER BY id")).map(({ type }) => type);

  beforeAll(async () => {
    database = await createDatabase('breaker');
    destination = openDestination(database.url);
    onFileEnd(() => destination.close());
    await destination.ready();
    await database.query("INSERT INTO tidemark.source (id, settings, settings_hash) VALUES ('hq', '{}', '')");
  });

  test('opens after so many failures in a row, and a success in between begins the count anew', async () => {
    await fail();
    await fail();
    await noteSuccess(destination, guarded, LIMITS, null);
    await fail();
    await fail();
    expect(await state()).toMatchObject({ state: 'closed', failures: 2 });
    expect(await ask('a')).toBe('closed');
    await fail();
    expect(await state()).toMatchObject({ state: 'open', failures: 3, lastError: 'source.unreachable', due: false });
    expect(await ask('a')).toBe('open');
    expect(await events()).toEqual(['BreakerOpened']);
  });

  test('of many that ask at once after the cooldown, one alone is let through; two that succeed close it', async () => {
    await elapse();
    const answers = await Promise.all(Array.from({ length: 8 }, async (_, index) => [`t${index}`, await ask(`t${index}`)] as const));
    const probes = answers.filter(([, answer]) => answer === 'probe');
    expect(probes).toHaveLength(1);
    expect(answers.filter(([, answer]) => answer === 'open')).toHaveLength(7);
    await noteSuccess(destination, guarded, LIMITS, 'another');
    expect(await state()).toMatchObject({ state: 'half_open', successes: 0 });
    await noteSuccess(destination, guarded, LIMITS, probes[0]![0]);
    expect(await state()).toMatchObject({ state: 'half_open', successes: 1 });
    expect([await ask('second'), await ask('third')]).toEqual(['probe', 'open']);
    await noteSuccess(destination, guarded, LIMITS, 'second');
    expect(await state()).toMatchObject({ state: 'closed', failures: 0, openedAt: null });
    expect(await events()).toEqual(['BreakerOpened', 'BreakerClosed']);
  });

  test('a probe that fails opens it again, since when it was open stays; one whose worker died gives its place up', async () => {
    for (let count = 0; count < LIMITS.failures; count += 1) await fail();
    const since = (await state())?.openedAt;
    await elapse();
    expect(await ask('first')).toBe('probe');
    await fail();
    expect(await state()).toMatchObject({ state: 'open', openedAt: since, due: false });
    await elapse();
    expect(await ask('dies')).toBe('probe');
    await database.query("UPDATE tidemark.breaker SET probe_until = now() - interval '1 second'");
    expect(await ask('next')).toBe('probe');
    await destination.session('giving up', (session) => endProbe(session, guarded, 'next'));
    expect(await ask('last')).toBe('probe');
  });

  test('sessions that are lost together count once', async () => {
    await database.query('DELETE FROM tidemark.breaker');
    const openedAt = await database.value('SELECT clock_timestamp()::text');
    await Promise.all(Array.from({ length: 6 }, () => noteFailure(destination, guarded, LIMITS, { code: 'source.connection_lost', openedAt })));
    expect(await state()).toMatchObject({ state: 'closed', failures: 1 });
    await noteFailure(destination, guarded, LIMITS, { code: 'source.connection_lost', openedAt: await database.value('SELECT clock_timestamp()::text') });
    expect(await state()).toMatchObject({ failures: 2 });
  });
});

interface Line {
  readonly status: string;
  readonly next: string | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly breaker: { readonly state: string; readonly failures: number; readonly since: string | null; readonly retryAt: string | null; readonly lastError: string | null };
  readonly connection: string;
}

describeWith({ postgres: true, temporal: true }, 'a source that goes away', () => {
  let server: PrivatePostgres;
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const status = async () => ((await tidemark.must('status', 'hq', '--json')).streams ?? []) as unknown as readonly Line[];
  const untilOpen = async () =>
    waitFor('the breaker to open', async () => {
      await tidemark.run('sync', 'hq', '--json');
      return (await status())[0]?.breaker.state === 'open' ? true : null;
    }, 200_000);

  beforeAll(async () => {
    server = await PrivatePostgres.start();
    [source, target] = [await server.createDatabase('away'), await createDatabase('target')];
    for (const name of ['a', 'b', 'c']) await source.query(`CREATE TABLE ${name} (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now()); INSERT INTO ${name} VALUES (1)`);
    const file = (breaker: string) => `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - id: hq\n    kind: postgres\n    connection: ${source.connection}\n    breaker: ${breaker}\n    streams: [a, b, c]\n`;
    tidemark = await Tidemark.start(file('{ failures: 5, cooldown: 1h, successes: 2 }'), { ...source.secrets, DESTINATION_URL: target.url }, 2);
    await tidemark.apply();
    await tidemark.must('sync', 'hq', '--json');
    shortCooldown = () => tidemark.configure(file('{ failures: 5, cooldown: 1s, successes: 2 }'));
  });
  let shortCooldown: () => void;

  test('its syncs end as skipped without a connection, for any worker, and say since when and how old the data is', async () => {
    await server.stop();
    await untilOpen();
    const before = await target.value('SELECT failures FROM tidemark.breaker');
    // Its last batch is old, and polls have found nothing new since.
    await target.query("UPDATE tidemark.watermark SET as_of = as_of - interval '1 day'; UPDATE tidemark.stream SET checked_at = clock_timestamp()");
    const { code, json } = await tidemark.run('sync', 'hq', '--json');
    expect(code).toBe(1);
    expect(json?.streams?.map((each) => [each.status, each.error?.code])).toEqual(Array.from({ length: 3 }, () => ['skipped', 'source.breaker_open']));
    expect(json?.streams?.[0]?.error?.message).toMatch(/open since \S+Z \(source\.unreachable\).* tried again from \S+Z on\. The last good data is as of \S+Z, \d+ s old\./);
    expect(await target.value('SELECT failures FROM tidemark.breaker')).toBe(before);
    const [line] = await status();
    expect(line).toMatchObject({ status: 'skipped', next: 'tidemark resume hq --force', connection: 'primary', breaker: { state: 'open', lastError: 'source.unreachable', since: expect.any(String), retryAt: expect.any(String) } });
    expect(await target.value("SELECT count(*) FROM tidemark.stream WHERE parked IS NOT NULL")).toBe('0');
  });

  test('check tries for real; resume --force closes it at once', async () => {
    await server.restart();
    expect((await tidemark.must('check', 'hq', '--json')).results?.[0]).toMatchObject({ isConnected: true });
    expect((await status())[0]?.breaker.state).toBe('open');
    expect(await tidemark.must('resume', 'hq', '--force', '--json')).toMatchObject({ ok: true, paused: false, breakerClosed: ['primary'] });
    expect(await tidemark.must('resume', 'hq', '--force', '--json')).toMatchObject({ ok: true, breakerClosed: [] });
    await source.query('INSERT INTO a VALUES (2)');
    await tidemark.must('sync', 'hq', '--json');
    expect((await status()).map((each) => [each.status, each.breaker.state])).toEqual(Array.from({ length: 3 }, () => ['completed', 'closed']));
    expect(await target.value('SELECT count(*) FROM hq.a')).toBe('2');
  });

  test('after the cooldown it comes back by itself, all its streams in one run', async () => {
    shortCooldown();
    await tidemark.apply();
    await server.stop();
    await untilOpen();
    await server.restart();
    for (const name of ['a', 'b', 'c']) await source.query(`INSERT INTO ${name} VALUES (3)`);
    await waitFor('the cooldown', async () => ((await target.value('SELECT retry_at < clock_timestamp() FROM tidemark.breaker')) === 't' ? true : null));
    const { code, json } = await tidemark.run('sync', 'hq', '--json');
    expect(json?.streams?.map((each) => each.status)).toEqual(['completed', 'completed', 'completed']);
    expect(code).toBe(0);
    expect((await status())[0]?.breaker).toEqual({ state: 'closed', failures: 0, since: null, retryAt: null, lastError: null });
    expect(await target.value("SELECT string_agg(type, ' ' ORDER BY id) FROM tidemark.event WHERE type LIKE 'Breaker%'")).toBe('BreakerOpened BreakerClosed BreakerOpened BreakerClosed');
  });

  test('a new address in the file begins with a closed breaker', async () => {
    await server.stop();
    await untilOpen();
    await server.restart();
    tidemark.configure(`destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - id: hq\n    kind: postgres\n    connection: ${source.connection.replace('127.0.0.1', 'localhost')}\n    streams: [a, b, c]\n`);
    await tidemark.apply();
    expect((await status())[0]?.breaker.state).toBe('closed');
    await tidemark.must('sync', 'hq', '--json');
  });
});
