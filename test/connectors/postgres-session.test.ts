/** Opening, describing, cancelling and failing: what a session does around the rows. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { manifest } from '../../connectors/postgres/manifest.ts';
import type { SourceSession, StreamRead } from '../../connectors/connector.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';
import { MiniEngine, openSession, readLines } from './postgres-engine.ts';

let database: PostgresDatabase;
let session: SourceSession;

async function streamOf(table: string, cursor: string | null = null): Promise<StreamRead> {
  const shape = await session.describe(table);
  return { table: shape, columns: shape.columns.map(({ name }) => name), key: shape.key, cursor, overlapSeconds: 60, futureLimitSeconds: 86_400, fetchRows: 1000, types: {} };
}

/** Statements of Tidemark that the server is running now. */
const running = (): Promise<string | null> => database.value(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidemark test' AND state = 'active' AND datname = current_database()`);

describeWith({ postgres: true }, 'PostgreSQL session', () => {
  beforeAll(async () => {
    database = await createDatabase('session');
    await database.query(`CREATE SCHEMA sales; CREATE SCHEMA "Odd Schema"; CREATE SCHEMA other;
      CREATE TABLE customers (id int PRIMARY KEY, name text); CREATE TABLE "My Table" (id int); CREATE TABLE "Mixed" (id int); CREATE TABLE "a.b" (id int);
      CREATE TABLE sales.orders (id int PRIMARY KEY, at timestamptz); CREATE TABLE "Odd Schema"."Odd ""Name" (id int);
      CREATE TABLE sales.twice (id int); CREATE TABLE other.twice (id int); CREATE TABLE other.only (id int);
      CREATE VIEW sales.recent AS SELECT * FROM sales.orders; CREATE TABLE big (id int PRIMARY KEY, note text); INSERT INTO big SELECT n, repeat('x', 200) FROM generate_series(1, 200000) n`);
    session = await openSession(database);
  });

  afterAll(() => session.close());

  test('the server says who it is', async () => {
    const facts = await session.server();
    expect(facts).toMatchObject({ product: 'PostgreSQL', database: database.name, user: 'postgres', timezone: 'UTC', warnings: [] });
    expect(facts.identity).toMatch(/^\d+\/\d+$/);
  });

  test.each([
    ['customers', 'public.customers'],
    ['CUSTOMERS', 'public.customers'],
    ['"customers"', 'public.customers'],
    ['My Table', 'public.My Table'],
    ['"My Table"', 'public.My Table'],
    ['Mixed', 'public.Mixed'],
    ['a.b', 'public.a.b'],
    ['Sales.Orders', 'sales.orders'],
    ['"Odd Schema"."Odd ""Name"', 'Odd Schema.Odd "Name'],
    ['only', 'other.only'],
  ])('%s is found', async (written, found) => {
    const { schema, name } = await session.describe(written);
    expect(`${schema}.${name}`).toBe(found);
  });

  test('names that mean nothing or too much', async () => {
    await expect(session.describe('custmers')).rejects.toMatchObject({ code: 'source.table_missing', hint: expect.stringContaining('public.customers') as string });
    await expect(session.describe('"CUSTOMERS"')).rejects.toMatchObject({ code: 'source.table_missing' });
    await expect(session.describe('sales.')).rejects.toMatchObject({ code: 'source.table_missing' });
    await expect(session.describe('twice')).rejects.toMatchObject({ code: 'source.table_ambiguous', hint: expect.stringContaining('sales.twice') as string });
  });

  test('keys, indexes, kinds and types', async () => {
    await database.query(`CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN amount AS numeric(12,2); CREATE TYPE pair AS (a int, b text);
      CREATE TABLE shaped (_tidemark_batch int, id int, code varchar(10) NOT NULL, part int NOT NULL, m mood, ms mood[], a amount, p pair, n numeric(12,2), at timestamp(3), s int GENERATED ALWAYS AS (id * 2) STORED,
        i bigint GENERATED ALWAYS AS IDENTITY, r int4range, j jsonb, x regclass, b "char", c char(5), ts int[][]);
      CREATE UNIQUE INDEX ON shaped (id); CREATE UNIQUE INDEX ON shaped (code, part); CREATE UNIQUE INDEX ON shaped (part) WHERE part > 3; CREATE INDEX ON shaped (lower(code)); CREATE INDEX ON shaped (at)`);
    const shape = await session.describe('shaped');
    expect(shape.key).toEqual(['code', 'part']);
    expect([...shape.indexedColumns].sort()).toEqual(['at', 'code', 'id']);
    expect(shape.columns.map(({ name, pgType, order, note }) => [name, pgType, order, note === undefined])).toEqual([
      ['_tidemark_batch', 'integer', 'number', true], ['id', 'integer', 'number', true], ['code', 'character varying(10)', 'text', true], ['part', 'integer', 'number', true],
      ['m', 'text', 'none', false], ['ms', 'text', 'none', false], ['a', 'text', 'number', false], ['p', 'text', 'none', false], ['n', 'numeric(12,2)', 'number', true],
      ['at', 'timestamp(3) without time zone', 'time', true], ['s', 'integer', 'number', true], ['i', 'bigint', 'number', true], ['r', 'int4range', 'none', true], ['j', 'jsonb', 'none', true],
      ['x', 'text', 'none', false], ['b', '"char"', 'none', true], ['c', 'character(5)', 'text', true], ['ts', 'integer[]', 'none', true],
    ]);
    expect(shape.columns[0]?.targetName).not.toBe('_tidemark_batch');
    expect((await session.describe('sales.recent')).kind).toBe('view');
  });

  test('discover lists what may be read, partitions within their parent', async () => {
    await database.query(`CREATE TABLE whole (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE leaf PARTITION OF whole FOR VALUES FROM (0) TO (9)`);
    const found = (await session.discover()).map(({ schema, name, kind }) => `${schema}.${name} ${kind}`);
    expect(found).toEqual(expect.arrayContaining(['public.whole partitioned', 'sales.recent view', 'public.My Table table']));
    expect(found).not.toContain('public.leaf table');
  });

  test('privileges: no schema, no table, some columns, row security', async () => {
    await database.query(`CREATE ROLE clerk LOGIN PASSWORD 'clerk'; CREATE TABLE partly (id int PRIMARY KEY, open text, secret text); GRANT SELECT (id, open) ON partly TO clerk;
      CREATE TABLE policed (id int PRIMARY KEY); GRANT SELECT ON policed TO clerk; ALTER TABLE policed ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON policed USING (id > 3)`);
    const clerk = await openSession(database, { user: 'clerk', password: 'clerk' });
    const refused = (message: string): unknown => expect.objectContaining({ code: 'source.privilege_missing', message: expect.stringContaining(message) as string });
    await expect(clerk.describe('sales.orders')).rejects.toEqual(refused('schema sales'));
    await expect(clerk.describe('customers')).rejects.toEqual(refused('customers'));
    await expect(clerk.describe('partly')).rejects.toEqual(refused('secret'));
    await expect(clerk.describe('policed')).rejects.toEqual(refused('Row security'));
    expect((await clerk.server()).warnings.join()).toContain('pg_read_all_stats');
    await database.query('GRANT SELECT ON customers TO clerk');
    const stream = await streamOf('customers');
    await database.query('REVOKE SELECT ON customers FROM clerk');
    await expect(clerk.readPart(stream, { from: null, to: null, rowEstimate: 1 }, 'copy-text').then(readLines)).rejects.toMatchObject({ code: 'source.privilege_missing' });
    await clerk.close();
    await database.query('DROP OWNED BY clerk; DROP ROLE clerk');
  });

  test('a user who can\'t see other sessions still loses nothing', async () => {
    await database.query(`CREATE ROLE blind LOGIN PASSWORD 'blind'; CREATE TABLE seen (id bigint PRIMARY KEY, at timestamptz, note text); GRANT SELECT ON seen TO blind`);
    const late = await database.client();
    await late.query(`BEGIN; INSERT INTO seen VALUES (1, now() - interval '1 day', 'late')`);
    const engine = await MiniEngine.for(database, 'seen', 'at', { login: { user: 'blind', password: 'blind' } });
    await database.query(`INSERT INTO seen VALUES (2, now(), 'early')`);
    await engine.run();
    await late.query('COMMIT');
    await engine.settle();
    expect(engine.guarantee).toBe('exact');
    await engine.session.close();
    await database.query('DROP OWNED BY blind; DROP ROLE blind');
  });

  test('the session only reads, and reads again after a failed statement', async () => {
    await database.query(`CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO customers VALUES (77) RETURNING id'; CREATE VIEW writing AS SELECT writes() AS id`);
    const stream = await streamOf('writing');
    await expect(session.readPart(stream, { from: null, to: null, rowEstimate: 1 }, 'copy-text').then(readLines)).rejects.toMatchObject({ code: 'source.query_failed' });
    expect(await database.value('SELECT count(*) FROM customers')).toBe('0');
    expect((await session.server()).product).toBe('PostgreSQL');
  });

  test('an error in the middle of the rows is no end of the data, and holds no value', async () => {
    await database.query(`CREATE VIEW breaking AS SELECT id, 1 / (150000 - id) AS x, 'MARKER'::text AS t FROM big`);
    const stream = await streamOf('breaking');
    const failure: unknown = await session.readPart(stream, { from: null, to: null, rowEstimate: 1 }, 'copy-text').then(readLines).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'source.query_failed' });
    expect(String(failure)).not.toContain('MARKER');
    expect((await session.server()).product).toBe('PostgreSQL');
  });

  test('columns that vanish are named', async () => {
    await database.query('CREATE TABLE shrinking (id int PRIMARY KEY, at timestamptz, note text); INSERT INTO shrinking VALUES (1, now())');
    const engine = await MiniEngine.for(database, 'shrinking', 'at');
    await engine.run();
    await database.query('ALTER TABLE shrinking ALTER at TYPE timestamptz(0)');
    await expect(engine.run()).rejects.toMatchObject({ code: 'source.schema_changed' });
    await database.query('ALTER TABLE shrinking DROP COLUMN note');
    await expect(engine.run()).rejects.toMatchObject({ code: 'source.column_missing', message: expect.stringContaining('note') as string });
    await database.query('ALTER TABLE shrinking ADD COLUMN note text; ALTER TABLE shrinking RENAME at TO changed; ALTER TABLE shrinking ADD COLUMN at jsonb');
    await expect(engine.run()).rejects.toMatchObject({ code: 'source.cursor_unusable' });
    await database.query('DROP TABLE shrinking');
    await expect(engine.run()).rejects.toMatchObject({ code: 'source.table_missing' });
    await engine.session.close();
  });

  test('a position of another database is refused', async () => {
    const other = await createDatabase('elsewhere');
    for (const one of [database, other]) await one.query('CREATE TABLE moved (id int PRIMARY KEY, at timestamptz)');
    const engine = await MiniEngine.for(database, 'moved', 'at');
    await engine.run();
    const there = await MiniEngine.for(other, 'moved', 'at');
    there.position = engine.position;
    await expect(there.run()).rejects.toMatchObject({ code: 'source.history_lost' });
    await engine.session.close();
    await there.session.close();
  });

  test('a rewound source is refused', async () => {
    await database.query('CREATE TABLE rewound (id int PRIMARY KEY, at timestamptz)');
    const engine = await MiniEngine.for(database, 'rewound', 'at');
    await engine.run();
    const state = engine.position?.state as { mark: Record<string, unknown> };
    engine.position = { ...engine.position!, state: { ...state, mark: { ...state.mark, snapshot: '4000000:4000000:' } } };
    await expect(engine.run()).rejects.toMatchObject({ code: 'source.history_lost' });
    await expect(engine.poll()).rejects.toMatchObject({ code: 'source.history_lost' });
    await engine.session.close();
  });

  test('cancelling ends the statement on the server and fails the pending call', async () => {
    await database.query('CREATE VIEW slow AS SELECT pg_sleep(60)::text AS a, n FROM generate_series(1, 3) n');
    const controller = new AbortController();
    const slow = await openSession(database, { signal: controller.signal });
    const read = await slow.readPart(await streamOf('slow'), { from: null, to: null, rowEstimate: 1 }, 'copy-text');
    const lines = readLines(read);
    lines.catch(() => undefined);
    while ((await running()) !== '1') await sleep(20);
    controller.abort();
    await expect(lines).rejects.toMatchObject({ code: 'batch.cancelled' });
    while ((await running()) !== '0') await sleep(20);
    await expect(slow.server()).rejects.toMatchObject({ code: 'batch.cancelled' });
    await slow.close();
    await slow.close();
  });

  test('cancelling a reader that does not read ends the statement too', async () => {
    const controller = new AbortController();
    const stalled = await openSession(database, { signal: controller.signal });
    const read = await stalled.readPart(await streamOf('big'), { from: null, to: null, rowEstimate: 1 }, 'copy-text');
    const failed = once(read.stream, 'error').catch(() => undefined);
    await once(read.stream, 'readable');
    while ((await running()) !== '1') await sleep(20);
    controller.abort();
    await failed;
    while ((await running()) !== '0') await sleep(20);
    await stalled.close();
  });

  test('a stream destroyed early leaves a session that can be used', async () => {
    const read = await session.readPart(await streamOf('big'), { from: null, to: null, rowEstimate: 1 }, 'copy-text');
    await once(read.stream, 'readable');
    read.stream.destroy();
    expect((await session.describe('customers')).name).toBe('customers');
    while ((await running()) !== '0') await sleep(20);
  });

  test('what ends a stream that was destroyed early ends no later statement of its session', async () => {
    // More than a stream takes unasked, less than the network holds: the server is done with it while the reader stands still.
    await database.query("CREATE TABLE few (id int PRIMARY KEY, note text); INSERT INTO few SELECT n, repeat('x', 200) FROM generate_series(1, 7000) n");
    const stream = await streamOf('few');
    const answers: unknown[] = [];
    for (let times = 0; times < 20; times += 1) {
      const read = await session.readPart(stream, { from: null, to: null, rowEstimate: 7000 }, 'copy-text');
      await once(read.stream, 'readable');
      while ((await running()) !== '0') await sleep(5);
      read.stream.destroy();
      for (let questions = 0; questions < 5; questions += 1) answers.push(await session.describe('customers').then(({ name }) => name, (error: unknown) => error));
    }
    expect(new Set(answers)).toEqual(new Set(['customers']));
  });

  test('the statement time limit is an error of its own', async () => {
    const connector = await manifest.load();
    const { server } = database;
    const connection = manifest.connectionSchema.parse({ host: server.host, port: server.port, database: database.name, user: server.user, password: server.password });
    const short = await connector.connect(connection, { applicationName: 'tidemark test', connectTimeoutMs: 10_000, statementTimeoutMs: 2_000, signal: new AbortController().signal });
    await expect(short.readPart(await streamOf('slow'), { from: null, to: null, rowEstimate: 1 }, 'copy-text').then(readLines)).rejects.toMatchObject({ code: 'source.statement_timeout' });
    await short.close();
  });

  test('a session ended by the server fails with a lost connection', async () => {
    const victim = await openSession(database);
    const read = await victim.readPart(await streamOf('slow'), { from: null, to: null, rowEstimate: 1 }, 'copy-text');
    const lines = readLines(read);
    lines.catch(() => undefined);
    while ((await running()) !== '1') await sleep(20);
    await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemark test' AND state = 'active'`);
    await expect(lines).rejects.toMatchObject({ code: 'source.connection_lost' });
    await expect(victim.server()).rejects.toMatchObject({ code: 'source.connection_lost' });
    await victim.close();
  });
});

describeWith({ postgres: true }, 'PostgreSQL connection', () => {
  const connect = async (change: Record<string, unknown>, limits: { readonly connectTimeoutMs?: number } = {}): Promise<SourceSession> => {
    const { server } = database;
    const connection = manifest.connectionSchema.parse({ host: server.host, port: server.port, database: database.name, user: server.user, password: server.password, ...change });
    return (await manifest.load()).connect(connection, { applicationName: 'tidemark test', connectTimeoutMs: 10_000, statementTimeoutMs: 10_000, ...limits, signal: new AbortController().signal });
  };

  test.each([
    ['a wrong password', { password: 'wrong-SECRET' }, 'source.auth_failed'],
    ['no password', { password: undefined }, 'source.auth_failed'],
    ['an unknown user', { user: 'nobody_here' }, 'source.auth_failed'],
    ['an unknown database', { database: 'nowhere' }, 'source.database_missing'],
    ['an unknown host', { host: 'no-such-host.invalid', tls: { mode: 'disable' } }, 'source.host_unknown'],
    ['a closed port', { port: 1 }, 'source.unreachable'],
    ['a server without TLS', { tls: { mode: 'require' } }, 'source.tls_failed'],
  ])('%s', async (_, change, code) => {
    const failure: unknown = await connect(change).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code });
    expect(JSON.stringify(failure) + String(failure)).not.toContain('SECRET');
  });

  test('a host that accepts and says nothing', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    await expect(connect({ port: typeof address === 'object' ? address?.port : 0 }, { connectTimeoutMs: 1500 })).rejects.toMatchObject({ code: 'source.unreachable' });
    silent.close();
  });

  test('a host that is no PostgreSQL', async () => {
    const stranger = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1');
    await once(stranger, 'listening');
    const address = stranger.address();
    await expect(connect({ port: typeof address === 'object' ? address?.port : 0 })).rejects.toMatchObject({ name: 'TidemarkError' });
    stranger.close();
  });

  test('the settings are strict', () => {
    const parse = (value: unknown): boolean => manifest.connectionSchema.safeParse(value).success;
    const good = { host: 'h', database: 'd', user: 'u' };
    expect(parse(good)).toBe(true);
    for (const bad of [{ ...good, url: 'postgres://x' }, { ...good, tls: { mode: 'no-verify' } }, { ...good, port: 0 }, { ...good, tls: { mode: 'require', rejectUnauthorized: false } }, { host: 'h' }]) {
      expect(parse(bad)).toBe(false);
    }
  });
});
