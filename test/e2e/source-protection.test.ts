/** What protects a source: sessions over all workers, hours, the name that its DBA sees. */
import type { SourceSession } from '../../connectors/connector.ts';
import { openDestination } from '../../destinations/postgres/destination.ts';
import { SessionLeases } from '../../destinations/postgres/session-lease.ts';
import { createEngine } from '../../workers/wiring.ts';
import { readRows } from '../conformance/copy-text.ts';
import { readOf } from '../conformance/place.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';

const STREAMS = ['one', 'two', 'three', 'four'];
const NAME = 'tidemark shop';

/** `HH:00-HH:00` UTC, from so many hours after this one to so many. */
function hours(from: number, to: number): string {
  const hour = (ahead: number) => String((new Date().getUTCHours() + ahead) % 24).padStart(2, '0');
  return `${hour(from)}:00-${hour(to)}:00`;
}

describeWith({ postgres: true, temporal: true }, 'protection of a source', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const file = (settings: string, streams: readonly string[] = STREAMS) =>
    `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - id: shop\n    kind: postgres\n    connection: ${source.connection}\n${settings}\n    streams: [${streams.join(', ')}]\n`;
  const sessions = async () => Number(await source.value(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = '${NAME}'`));
  /** Keeps whoever reads the source waiting, with its session, until what it hands over is called. */
  const held = async () => {
    const holder = await source.client();
    await holder.query('BEGIN; LOCK TABLE base IN ACCESS EXCLUSIVE MODE');
    return async () => void (await holder.query('ROLLBACK'));
  };

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    await source.query('CREATE TABLE base (id int PRIMARY KEY); INSERT INTO base SELECT generate_series(1, 200)');
    for (const name of STREAMS) await source.query(`CREATE VIEW ${name} AS SELECT id, pg_sleep(0.01)::text AS nothing FROM base`);
    tidemark = await Tidemark.start(file('    sessions_max: 1'), { ...source.secrets, DESTINATION_URL: target.url }, 2);
    await tidemark.apply();
  });

  test('sessions_max holds over two workers, and those that wait are shown', async () => {
    const letGo = await held();
    const running = tidemark.begin('sync', 'shop', '--json');
    let ended = false;
    void running.result.then(() => (ended = true));
    const seen: number[] = [];
    await waitFor('those that wait to be shown', async () => {
      seen.push(await sessions());
      return /wait for one of the sessions/.test((await tidemark.run('status', 'shop', '--json')).stdout) ? true : null;
    });
    await letGo();
    while (!ended) {
      seen.push(await sessions());
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const { code, json } = await running.result;
    expect(json?.streams?.map(({ status }) => status)).toEqual(STREAMS.map(() => 'completed'));
    expect(code).toBe(0);
    expect(Math.max(...seen)).toBe(1);
  });

  test('more sessions are used where they are allowed', async () => {
    tidemark.configure(file('    sessions_max: 3'));
    await tidemark.apply();
    const letGo = await held();
    const running = tidemark.begin('sync', 'shop', '--json');
    let most = 0;
    await waitFor('three sessions', async () => ((most = Math.max(most, await sessions())) >= 3 ? true : null));
    await letGo();
    expect((await running.result).code).toBe(0);
    expect(most).toBe(3);
  });

  test('a worker that is killed frees its sessions at once', async () => {
    tidemark.configure(file('    sessions_max: 1', ['one']));
    await tidemark.apply();
    const letGo = await held();
    const running = tidemark.begin('sync', 'shop', '--json');
    // Other tests have locks of this kind in databases of their own.
    const slots = () => target.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
    await waitFor('a session in its slot', async () => ((await sessions()) > 0 && (await slots()) === '1' ? true : null));
    const [first, second] = tidemark.workers;
    if (first === undefined || second === undefined) throw new Error('no workers');
    await Promise.all([first.kill(), second.kill()]);
    await waitFor('the slot to be free', async () => ((await slots()) === '0' ? true : null));
    await letGo();
    tidemark.startWorker();
    expect((await running.result).code).toBe(0);
    await waitFor('the sessions to end', async () => ((await sessions()) === 0 ? true : null));
  });

  test('a stream may have fewer sessions than its source, and statements that end sooner', async () => {
    tidemark.configure(file('    sessions_max: 3', ['{ table: one, sessions_max: 1, statement_timeout: 1s }', 'two']));
    await tidemark.apply();
    // Those of `apply` are its server's until that has noticed.
    await waitFor('earlier sessions to end', async () => ((await sessions()) === 0 ? true : null));
    const destination = openDestination(target.url);
    const engine = createEngine(destination, () => source.secrets);
    const open = (stream: string) => engine.openSource('shop', new AbortController().signal, 'sync', stream);
    const [one, two] = [await open('one'), await open('two')];
    let third = false;
    const waiting = open('one').then((session) => {
      third = true;
      return session;
    });
    const another = await open('two');
    expect([await sessions(), third]).toEqual([3, false]);
    await another.close();
    expect(third).toBe(false);
    // 200 rows take two seconds.
    const read = async (session: SourceSession, name: string) => readRows(await session.readPart(await readOf(session, name, null), { from: null, to: null, rowEstimate: -1 }, 'copy-text'), 2);
    await expect(read(one, 'one')).rejects.toMatchObject({ code: 'source.statement_timeout' });
    expect((await read(two, 'two')).rows).toHaveLength(200);
    await one.close();
    await (await waiting).close();
    await two.close();
    await destination.close();
  });

  test('many leases at once put one question after another to the session that keeps them', async () => {
    const destination = openDestination(target.url);
    const rawSession = destination.rawSession.bind(destination);
    let [asked, most] = [0, 0];
    destination.rawSession = (work) =>
      rawSession((session) => {
        const query = session.query.bind(session) as (...of: unknown[]) => Promise<unknown>;
        const counted = (...of: unknown[]) => {
          most = Math.max(most, (asked += 1));
          return query(...of).finally(() => (asked -= 1));
        };
        return work(Object.assign(Object.create(session), { query: counted }));
      });
    const leases = new SessionLeases(destination);
    const held = await Promise.all(Array.from({ length: 8 }, () => leases.acquire('leased', 8, new AbortController().signal)));
    await Promise.all(held.map((lease) => lease.release()));
    expect(most).toBe(1);
    await destination.close();
  });

  test('polls that meet closed hours are skipped, and go on by themselves when they open', async () => {
    // The next minute that leaves time to apply the file and to see a poll: not more than the bounds below allow.
    const opens = new Date(Math.ceil((Date.now() + 60_000) / 60_000) * 60_000);
    const clock = (time: Date) => time.toISOString().slice(11, 16);
    tidemark.configure(file(`    poll_interval: 2s\n    read_window: "${clock(opens)}-${clock(new Date(opens.getTime() + 3_600_000))}"`, ['four']));
    await target.query('DROP SCHEMA IF EXISTS shop CASCADE');
    await tidemark.apply();
    const shown = async () => (await tidemark.must('status', 'shop', '--json')).streams?.[0];
    const skipped = await waitFor('a poll that is skipped', async () => {
      const stream = await shown();
      return stream?.status === 'skipped' ? stream : null;
    }, 120_000);
    expect(skipped).toMatchObject({ error: { code: 'source.outside_read_window' } });
    expect(Date.now()).toBeLessThan(opens.getTime() + 60_000);
    await waitFor('the hours to open', async () => ((await shown())?.status === 'completed' ? true : null), 180_000);
    expect(Date.now()).toBeGreaterThanOrEqual(opens.getTime());
    expect(await target.value('SELECT count(*) FROM shop.four')).toBe('200');
  }, 400_000);

  test('outside its hours a source is not read: skipped, with the hour at which it opens', async () => {
    tidemark.configure(file(`    read_window: "${hours(2, 3)}"`, ['one']));
    await tidemark.apply();
    const { code, json } = await tidemark.run('sync', 'shop', '--json');
    expect(code).toBe(1);
    const opens = expect.stringMatching(/^It opens at \d{4}-\d\d-\d\dT\d\d:00Z;/);
    expect(streamOf(json?.streams, 'one')).toMatchObject({ status: 'skipped', read: 0, error: { code: 'source.outside_read_window', hint: opens } });
    const status = await tidemark.must('status', 'shop', '--json');
    expect(status.streams?.[0]).toMatchObject({ status: 'skipped', error: { code: 'source.outside_read_window', hint: opens } });

    tidemark.configure(file(`    read_window: "${hours(0, 2)}"`, ['one']));
    await tidemark.apply();
    expect(streamOf(await tidemark.syncAll(), 'one')).toMatchObject({ status: 'completed', read: 200 });
  });
});
