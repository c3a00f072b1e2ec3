/**
 * A line to the destination that stays open and says nothing (F-23, F-28): the step that waits on it fails within bounds, and its next attempt finds
 * the work undone or done once. What is silent for good reason, a long statement or a COPY whose source is slow, goes on.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { openCopyIn } from '../../destinations/postgres/copy-in.ts';
import { Destination } from '../../destinations/postgres/destination.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, PrivatePostgres } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { signalFamily } from '../support/process-family.ts';
import { waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import type { ForgetAt } from '../support/tcp-proxy.ts';
import { OneStream } from './one-stream.ts';

/** The product's own, a hundredth as long. */
const LINES = { silenceMs: 400, lookEveryMs: 200, answerMs: 4_000, missesMax: 2 };
/** Many looks. */
const LONG_MS = 4_000;

function through(target: PostgresDatabase, proxy: TcpProxy): Destination {
  const url = new URL(target.url);
  [url.hostname, url.port] = [proxy.host, String(proxy.port)];
  return new Destination(url.href, { sessionsMax: 6, applicationName: 'tidemark test', lines: LINES });
}

/** Matches once. */
function once(look: (text: string) => 'request' | 'answer' | null): ForgetAt {
  let met = false;
  return (chunk) => {
    const found = met ? null : look(chunk.toString('latin1'));
    met ||= found !== null;
    return found;
  };
}

const lost = expect.objectContaining({ code: 'target.connection_lost' });

describeWith({ postgres: true, mariadb: true }, 'a line to the destination that stays open and says nothing', () => {
  let proxy: TcpProxy;
  let stream: OneStream;
  let runs = 0;

  beforeAll(async () => {
    const target = await createDatabase('target');
    proxy = await TcpProxy.before(target.server);
    stream = await OneStream.create({ product: 'postgres', target, open: () => through(target, proxy) });
    await stream.sync();
  });

  beforeEach(async () => {
    stream.runId = `silent-${++runs}`;
    await stream.change(1, 10, `round ${runs}`);
  });

  afterEach(() => proxy.forgetAt(null));

  test.each([
    ['from the first rows of a COPY on', (text: string) => (text.startsWith('d') ? 'request' : null)],
    ["before a COPY's answer", (text: string) => (text.startsWith('d') ? 'answer' : null)],
    ['before a COPY begins', (text: string) => (/^Q.{4}copy /is.test(text) ? 'request' : null)],
  ] as const)('in an extract, %s: it fails, and the next attempt stages the batch', async (_name, look) => {
    const step = stream.nextStep((await stream.prepare()).generation);
    proxy.forgetAt(once(look));
    await expect(stream.extract(step)).rejects.toEqual(lost);
    await stream.load((await stream.extract(step)).batch);
    await stream.sync();
    expect(await stream.faults(10)).toEqual([]);
  });

  test.each([
    ['at the merge', (text: string) => (/insert into "shop"/i.test(text) ? 'request' : null)],
    ['at the answer to the merge', (text: string) => (/insert into "shop"/i.test(text) ? 'answer' : null)],
    ['at the commit', (text: string) => (/^Q.{4}commit\0/is.test(text) ? 'request' : null)],
    ['at the answer to the commit', (text: string) => (/^Q.{4}commit\0/is.test(text) ? 'answer' : null)],
  ] as const)('in a load, %s: it fails, and the next attempt counts the batch once', async (_name, look) => {
    const { batch } = await stream.extract(stream.nextStep((await stream.prepare()).generation));
    proxy.forgetAt(once(look));
    await expect(stream.load(batch)).rejects.toEqual(lost);
    await stream.load(batch);
    await stream.sync();
    expect(await stream.faults(10)).toEqual([]);
  });

  test('a session whose end never arrived is given up', async () => {
    const destination = through(stream.target, proxy);
    onFileEnd(() => destination.close());
    const waiting = destination.session('sleeping', async (session) => {
      const { rows } = await session.query<{ pid: number }>('select pg_backend_pid() as pid');
      const pid = rows[0]?.pid ?? 0;
      proxy.forgetAt(once((text) => (text.includes('pg_sleep') ? 'answer' : null)));
      const asleep = session.query('select pg_sleep(3600)');
      await waitFor('the server to sleep', async () => ((await stream.target.value(`SELECT count(*) FROM pg_stat_activity WHERE pid = ${pid} AND wait_event = 'PgSleep'`)) === '1' ? true : null));
      await stream.target.query(`SELECT pg_terminate_backend(${pid})`);
      await asleep;
    });
    await expect(waiting).rejects.toEqual(lost);
  });

  test('nothing is left of sessions that were given up', async () => {
    const open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tidemark%' AND xact_start IS NOT NULL";
    await waitFor('what was told to end to have ended', async () => ((await stream.target.value(open)) === '0' ? true : null));
  });
});

describeWith({ postgres: true }, 'a line to the destination that is silent for good reason', () => {
  let destination: Destination;
  let server: PrivatePostgres;
  let target: PostgresDatabase;

  beforeAll(async () => {
    server = await PrivatePostgres.start();
    target = await server.createDatabase('target');
    destination = through(target, await TcpProxy.before(target.server));
    onFileEnd(() => destination.close());
  });

  test('a statement that takes long is waited for', async () => {
    await expect(destination.session('sleeping', (session) => session.query(`select pg_sleep(${LONG_MS / 1000})`))).resolves.toBeDefined();
  });

  test('a COPY whose source is slow is waited for', async () => {
    const copied = destination.transaction('copying', async (session) => {
      await session.query('create table slow (id bigint)');
      const feed = openCopyIn(session, 'copy slow from stdin');
      async function* rows() {
        yield '1\n';
        await sleep(LONG_MS);
        yield '2\n';
      }
      await pipeline(Readable.from(rows()), feed);
      return feed.rowCount;
    });
    expect(await copied).toBe(2);
  });

  test('a lock is waited for', async () => {
    const other = await target.client();
    await other.query('CREATE TABLE held (id bigint)');
    await other.query('BEGIN; LOCK TABLE held');
    const waiting = destination.session('locking', (session) => session.query('select from held'));
    await sleep(LONG_MS);
    await other.query('COMMIT');
    await expect(waiting).resolves.toBeDefined();
  });

  test('a server that is frozen is given up; when it goes on, so does the next attempt', async () => {
    const asleep = destination.session('sleeping', (session) => session.query('select pg_sleep(3600)'));
    const ended = expect(asleep).rejects.toEqual(expect.objectContaining({ code: 'target.unreachable' }));
    // Frozen before that, it would be no session that falls silent.
    await waitFor('the server to sleep', async () => ((await target.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")) === '1' ? true : null));
    signalFamily(server.server.pid, 'SIGSTOP');
    try {
      await ended;
    } finally {
      signalFamily(server.server.pid, 'SIGCONT');
    }
    await expect(destination.session('asking', (session) => session.query('select 1'))).resolves.toBeDefined();
  });
});
