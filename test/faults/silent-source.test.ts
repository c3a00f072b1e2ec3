/**
 * A line to a source that stays open and says nothing (F-23, F-28): the read that waits on it fails long before `statement_timeout`. What is silent for good
 * reason, a long statement or a destination that takes no more, goes on.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SourceSession, StreamRead } from '../../connectors/connector.ts';
import { findManifest } from '../../connectors/registry.ts';
import { LINE_LIMITS, type LineLimits } from '../../connectors/silent-line.ts';
import { describeWith, type Needs } from '../support/describe-with.ts';
import { createDerby } from '../support/derby.ts';
import { createMariadb } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

/** The product's own, a hundredth as long but for the answer, which a busy machine may be late with. */
const LINES: LineLimits = { silenceMs: 400, lookEveryMs: 200, lookEveryMsMax: 800, answerMs: 10_000 };
const LONG_MS = 2_000;
/** More than the buffers on the way hold. */
const MANY = 60_000;

interface Place {
  readonly proxy: TcpProxy;
  readonly rows: number;
  connect(lines?: LineLimits): Promise<SourceSession>;
  /** Sessions of ours that the server has, but for the one that asks. */
  sessions(): Promise<string | null>;
}

interface Engine {
  readonly kind: string;
  readonly needs: Needs;
  /** Any user sees what the server does with its sessions, and has a statement that takes long. */
  readonly shows: boolean;
  start(): Promise<Place>;
}

interface Login {
  readonly kind: string;
  readonly server: { readonly host: string; readonly port: number; readonly user: string; readonly password: string };
  readonly database: string;
  readonly authentication?: 'server';
}

async function place({ kind, server, database, ...more }: Login, sessions: Place['sessions']): Promise<Place> {
  const proxy = await TcpProxy.before(server);
  const manifest = await findManifest(kind);
  const connector = await manifest.load();
  const connection = manifest.connectionSchema.parse({ host: proxy.host, port: proxy.port, database, user: server.user, password: server.password, ...more });
  const connect = async (lines: LineLimits = LINES) => {
    const session = await connector.connect(connection, { applicationName: 'tidemark silent', connectTimeoutMs: 10_000, statementTimeoutMs: 600_000, signal: new AbortController().signal, lines });
    onFileEnd(() => session.close());
    return session;
  };
  return { proxy, rows: MANY, connect, sessions };
}

const ENGINES: readonly Engine[] = [
  {
    kind: 'postgres',
    needs: { postgres: true },
    shows: true,
    start: async () => {
      const database = await createDatabase('silent');
      await database.query(`CREATE TABLE many AS SELECT n AS id, repeat('x', 200) AS note FROM generate_series(1, ${MANY}) n; ALTER TABLE many ADD PRIMARY KEY (id);
        CREATE VIEW slow AS SELECT 1 AS id, 'x' || pg_sleep(${LONG_MS / 1000}) AS note`);
      const { server, name } = database;
      return place({ kind: 'postgres', server, database: name }, () => database.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tidemark silent'"));
    },
  },
  {
    kind: 'mysql',
    needs: { mariadb: true },
    shows: true,
    start: async () => {
      const database = await createMariadb('silent');
      await database.query(`CREATE TABLE many (id int PRIMARY KEY, note varchar(200)) AS SELECT seq AS id, repeat('x', 200) AS note FROM seq_1_to_${MANY}`);
      await database.query(`CREATE VIEW slow AS SELECT 1 AS id, CONCAT('x', SLEEP(${LONG_MS / 1000})) AS note`);
      const { server, name } = database;
      return place({ kind: 'mysql', server, database: name }, () => database.value(`SELECT COUNT(*) FROM information_schema.processlist WHERE db = '${name}' AND id <> CONNECTION_ID()`));
    },
  },
  {
    kind: 'db2',
    needs: { db2: true },
    shows: false,
    start: async () => {
      const database = await createDerby('silent');
      await database.run(`CREATE TABLE many (id int NOT NULL PRIMARY KEY, note varchar(200))`);
      await database.run(`INSERT INTO many VALUES (1, '${'x'.repeat(200)}')`);
      for (let rows = 1; rows < MANY; rows *= 2) await database.run(`INSERT INTO many SELECT id + ${rows}, note FROM many WHERE id <= ${MANY - rows}`);
      return place({ kind: 'db2', server: database.server, database: database.name, authentication: 'server' }, async () => null);
    },
  },
];

async function streamOf(session: SourceSession, name: string): Promise<StreamRead> {
  const table = await session.describe(name);
  return { table, columns: table.columns.map((column) => column.name), key: table.key, cursor: null, overlapSeconds: 60, futureLimitSeconds: 86_400, fetchRows: 1000, types: {} };
}

async function openRead(session: SourceSession, name: string) {
  const stream = await streamOf(session, name);
  const plan = await session.planFull(stream, { rowsMax: MANY * 2 });
  const part = plan.parts[0];
  if (part === undefined) throw new Error('a table without parts');
  return session.readPart(stream, part, 'copy-text');
}

async function bytesOf(stream: AsyncIterable<Buffer>): Promise<number> {
  let bytes = 0;
  for await (const chunk of stream) bytes += chunk.length;
  return bytes;
}

for (const engine of ENGINES) {
  describeWith(engine.needs, `a line to a source that stays open and says nothing, ${engine.kind}`, () => {
    let at: Place;

    beforeAll(async () => {
      at = await engine.start();
    });

    afterEach(() => {
      at.proxy.set(null);
      at.proxy.reset();
    });

    test('a source that answers nobody is given up as one that cannot be reached', async () => {
      const session = await at.connect({ ...LINES, answerMs: 2_000 });
      at.proxy.set({ kind: 'black hole' });
      await expect(session.describe('many')).rejects.toMatchObject({ code: 'source.unreachable' });
    });

    test('rows that nobody takes for a while are waited for', async () => {
      const session = await at.connect();
      const read = await openRead(session, 'many');
      let paused = false;
      for await (const chunk of read.stream) {
        if (!paused) await sleep(LONG_MS);
        paused = chunk !== null;
      }
      expect(read.rowsRead()).toBe(at.rows);
    });

    if (engine.shows) {
      test('a question whose answer never arrives is given up, and the server is rid of the session', async () => {
        const session = await at.connect();
        at.proxy.set({ kind: 'forget' });
        await expect(session.describe('many')).rejects.toMatchObject({ code: 'source.connection_lost', message: expect.stringContaining('Nothing passes any more') as string });
        await waitFor('the session to end', async () => ((await at.sessions()) === '0' ? true : null));
      });

      test('rows that stop coming are given up', async () => {
        const session = await at.connect();
        const { stream } = await openRead(session, 'many');
        stream.once('readable', () => undefined);
        await once(stream, 'readable');
        at.proxy.set({ kind: 'forget' });
        await expect(bytesOf(stream)).rejects.toMatchObject({ code: 'source.connection_lost', message: expect.stringContaining('Nothing passes any more') as string });
        await waitFor('the session to end', async () => ((await at.sessions()) === '0' ? true : null));
      });

      test('a long statement is waited for', async () => {
        const session = await at.connect();
        const { stream } = await openRead(session, 'slow');
        expect(await bytesOf(stream)).toBeGreaterThan(0);
      });
    }
  });
}

test('a silent line is given up within minutes, whatever it waited for', () => {
  const { silenceMs, lookEveryMs, lookEveryMsMax, answerMs } = LINE_LIMITS;
  expect(silenceMs + lookEveryMsMax + 3 * (lookEveryMs + answerMs)).toBeLessThanOrEqual(180_000);
});
