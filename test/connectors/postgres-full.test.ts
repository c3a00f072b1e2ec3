/** Full builds and types: every row once whatever the key, while writers work; every value to the last digit, in both formats. */
import { pipeline } from 'node:stream/promises';
import copyStreams from 'pg-copy-streams';
import type { RowFormat, SourceSession, StreamRead } from '../../connectors/connector.ts';
import { readState } from '../../connectors/postgres/position.ts';
import type { Position } from '../../schemas/position.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, PrivatePostgres, type PostgresDatabase } from '../support/postgres.ts';
import { MiniEngine, openSession, readLines } from './postgres-engine.ts';

let server: PrivatePostgres;
let database: PostgresDatabase;
let session: SourceSession;

const KEYS: Readonly<Record<string, string>> = {
  int: 'k1 int PRIMARY KEY; n',
  'text in a language order': `k1 text COLLATE "und-x-icu" PRIMARY KEY; 'Ä' || chr(97 + n % 26) || repeat(chr(65 + n % 7), n % 5) || '\\' || n`,
  uuid: 'k1 uuid PRIMARY KEY; md5(n::text)::uuid',
  'time and int': "k1 timestamptz, k2 int, PRIMARY KEY (k1, k2); timestamptz '2026-01-01' + n / 100 * interval '1 us', n % 100",
  'enum and char': "k1 shade, k2 char(8), PRIMARY KEY (k1, k2); (ARRAY['dark', 'light'])[1 + n % 2]::shade, n::text",
};

async function streamOf(table: string, cursor: string | null = null, on = session): Promise<StreamRead> {
  const shape = await on.describe(table);
  return { table: shape, columns: shape.columns.map(({ name }) => name), key: shape.key, cursor, overlapSeconds: 60, futureLimitSeconds: 86_400, fetchRows: 1000, types: {} };
}

const scannedAt = (position: Position): unknown => readState(position)?.mark.scanned.at;

describeWith({ postgres: true }, 'PostgreSQL full build', () => {
  beforeAll(async () => {
    server = await PrivatePostgres.quiet();
    database = await server.createDatabase('full');
    await database.query(`CREATE TYPE shade AS ENUM ('light', 'dark')`);
    session = await openSession(database);
  });

  afterAll(() => session.close());

  test.each(Object.entries(KEYS))('every row once, key %s', async (name, definition) => {
    const [columns = '', values = ''] = definition.split('; ');
    const table = `k_${name.replaceAll(' ', '_')}`;
    await database.query(`CREATE TABLE ${table} (${columns}, note text); INSERT INTO ${table} SELECT ${values}, 'x' FROM generate_series(1, 20000) n`);
    for (const analyzed of [false, true]) {
      if (analyzed) await database.query(`ANALYZE ${table}`);
      const engine = await MiniEngine.for(database, table, null, { rowsMax: 1000 });
      const parts = await engine.build();
      expect(parts).toBeGreaterThan(5);
      expect(parts).toBeLessThan(60);
      await engine.expectEqual();
      await engine.session.close();
    }
  });

  test('a part is read by its own session alone, however cheap the server takes workers beside it to be', async () => {
    await database.query("CREATE TABLE wide (id bigint PRIMARY KEY, filler text); INSERT INTO wide SELECT n, repeat('x', 300) FROM generate_series(1, 200000) n; ANALYZE wide");
    for (const name of ['parallel_setup_cost', 'parallel_tuple_cost', 'min_parallel_table_scan_size']) await database.query(`ALTER DATABASE "${database.name}" SET ${name} = 0`);
    const reader = await openSession(database);
    const workers = () => database.value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker' AND datname = current_database()");
    const stream = await streamOf('wide', null, reader);
    const { parts } = await reader.planFull(stream, { rowsMax: 50_000 });
    for (const part of [{ from: null, to: null, rowEstimate: 200_000 }, ...parts]) {
      const read = await reader.readPart(stream, part, 'copy-text');
      await read.stream[Symbol.asyncIterator]().next();
      expect(await workers()).toBe('0');
      read.stream.on('error', () => undefined).destroy();
    }
    await reader.close();
    for (const name of ['parallel_setup_cost', 'parallel_tuple_cost', 'min_parallel_table_scan_size']) await database.query(`ALTER DATABASE "${database.name}" RESET ${name}`);
  });

  test('part sizes are near to what was asked for', async () => {
    await database.query('CREATE TABLE sized (id bigint PRIMARY KEY); INSERT INTO sized SELECT n::bigint * n FROM generate_series(1, 300000) n; ANALYZE sized');
    const stream = await streamOf('sized');
    const { parts } = await session.planFull(stream, { rowsMax: 20_000 });
    let total = 0;
    for (const part of parts) {
      const count = (await readLines(await session.readPart(stream, part, 'copy-text'))).length;
      expect(count).toBeLessThan(40_000);
      total += count;
    }
    expect(total).toBe(300_000);
  });

  test('where nobody asked for a size, a table is read whole, unless it is large', async () => {
    await database.query('CREATE TABLE usual (id bigint PRIMARY KEY); INSERT INTO usual SELECT generate_series(1, 10000); ANALYZE usual');
    const stream = await streamOf('usual', 'id');
    const partsOf = async (isUsual: boolean) => (await session.planFull(stream, { rowsMax: 1000, isUsual })).parts.length;
    expect(await partsOf(false)).toBeGreaterThan(5);
    expect(await partsOf(true)).toBe(1);
    await database.query("UPDATE pg_class SET reltuples = 8100000 WHERE relname = 'usual'");
    expect(await partsOf(true)).toBeGreaterThan(5);
  });

  test('keyless, nullable, small, empty and viewed tables are one part', async () => {
    await database.query(`CREATE TABLE keyless AS SELECT n FROM generate_series(1, 5000) n; CREATE TABLE nullable (id int UNIQUE, at timestamptz); INSERT INTO nullable SELECT nullif(n, 9), '2026-01-01' FROM generate_series(1, 5000) n;
      CREATE TABLE few (id int PRIMARY KEY); INSERT INTO few SELECT generate_series(1, 900); CREATE TABLE none (id int PRIMARY KEY); CREATE VIEW viewed AS SELECT * FROM nullable`);
    for (const [table, rows] of [['keyless', 5000], ['nullable', 5000], ['few', 900], ['none', 0], ['viewed', 5000]] as const) {
      const stream = { ...(await streamOf(table)), ...(table === 'nullable' || table === 'viewed' ? { key: ['id'] } : {}) };
      const { parts } = await session.planFull(stream, { rowsMax: 800 });
      expect(parts).toHaveLength(1);
      expect(await readLines(await session.readPart(stream, parts[0]!, 'copy-text'))).toHaveLength(rows);
    }
  });

  test('the catch-up looks through the whole table only where something was written while parts were read', async () => {
    // Nobody else writes on this server: transaction ids are of the whole cluster.
    const calm = await server.createDatabase('calm');
    await calm.query(`CREATE TABLE calm (id bigint PRIMARY KEY, at timestamptz); INSERT INTO calm SELECT n, timestamptz '2026-01-01' + n * interval '1 s' FROM generate_series(1, 5000) n; ANALYZE calm; CREATE TABLE elsewhere (id int)`);
    const reader = await openSession(calm);
    const stream = await streamOf('calm', 'at', reader);
    const caughtUp = async (meanwhile: string | null) => {
      const { position } = await reader.planFull(stream, { rowsMax: 1000 });
      if (meanwhile !== null) await calm.query(meanwhile);
      const read = await reader.readFrom(stream, position, { rowsMax: 1000 }, 'copy-text');
      const rows = await readLines(read);
      return { rows: rows.length, looked: scannedAt(read.to) !== scannedAt(position) };
    };
    expect(await caughtUp(null)).toEqual({ rows: 0, looked: false });
    expect(await caughtUp('INSERT INTO elsewhere VALUES (1)')).toEqual({ rows: 0, looked: true });
    expect(await caughtUp('UPDATE calm SET id = -id WHERE id = 7')).toEqual({ rows: 1, looked: true });
    await reader.close();
  });

  test('rows that change, move and come while parts are read arrive by the catch-up', async () => {
    await database.query(`CREATE TABLE moving (id bigint PRIMARY KEY, at timestamptz, note text); INSERT INTO moving SELECT n * 10, timestamptz '2026-01-01' + n * interval '1 s', 'x' FROM generate_series(1, 8000) n; ANALYZE moving`);
    const engine = await MiniEngine.for(database, 'moving', 'at', { rowsMax: 1000 });
    const late = await database.client();
    await late.query(`BEGIN; INSERT INTO moving VALUES (-5, '2025-01-01', 'late')`);
    let step = 0;
    await engine.build(async () => {
      step += 1;
      await database.query(`UPDATE moving SET note = 'changed', at = now() WHERE id = ${8000 - step} * 10; INSERT INTO moving VALUES (${step}, now(), 'new'); UPDATE moving SET id = ${step} * 10 + 3 WHERE id = ${7000 + step} * 10`);
    });
    await late.query('COMMIT');
    await engine.run();
    const source = new Set(await engine.sourceRows());
    const target = new Set(engine.targetRows());
    expect([...source].filter((row) => !target.has(row))).toEqual([]);
    // The keys that are gone are a delete for each moved row, which no cursor sees.
    expect(target.size - source.size).toBeLessThanOrEqual(step);
    expect((await engine.run()).read).toBe(0);
  });

  test('a table without cursor: a poll sees inserts, updates and deletes, and nothing else', async () => {
    await database.query('CREATE TABLE whole (id int PRIMARY KEY, note text); CREATE TABLE another (id int); INSERT INTO whole SELECT n FROM generate_series(1, 100) n');
    const engine = await MiniEngine.for(database, 'whole', null, { rowsMax: 1000 });
    for (const change of [`INSERT INTO whole VALUES (500)`, `UPDATE whole SET note = 'y' WHERE id = 3`, 'DELETE FROM whole WHERE id = 4', 'TRUNCATE whole']) {
      await engine.build();
      await database.query('INSERT INTO another VALUES (1)');
      expect(await engine.poll()).toBe(false);
      await database.query(change);
      expect(await engine.poll()).toBe(true);
    }
    await engine.session.close();
  });

  test('a poll is false after other tables were written, and true after this one was', async () => {
    await database.query('CREATE TABLE polled (id int PRIMARY KEY, at timestamptz); INSERT INTO polled VALUES (1, now())');
    const engine = await MiniEngine.for(database, 'polled', 'at');
    await engine.run();
    expect(await engine.poll()).toBe(false);
    await database.query('INSERT INTO another VALUES (2)');
    expect(await engine.poll()).toBe(false);
    await database.query('UPDATE polled SET at = NULL');
    expect(await engine.poll()).toBe(true);
    await engine.run();
    expect(await engine.poll()).toBe(false);
    await engine.session.close();
  });

  test('a view reads back to the oldest open transaction', async () => {
    await database.query(`CREATE TABLE base (id bigint PRIMARY KEY, at timestamptz, no bigint); INSERT INTO base SELECT n, timestamptz '2026-01-01' + n * interval '1 h', n FROM generate_series(1, 9) n; CREATE VIEW over AS SELECT * FROM base`);
    for (const cursor of ['at', 'no']) {
      const engine = await MiniEngine.for(database, 'over', cursor, { key: ['id'], rowsMax: 4 });
      await engine.run();
      const late = await database.client();
      const id = cursor === 'at' ? 100 : 200;
      await late.query(`BEGIN; INSERT INTO base VALUES (${id}, now(), ${id})`);
      await database.query(`INSERT INTO base VALUES (${id + 1}, clock_timestamp(), ${id + 1})`);
      await engine.run();
      await database.query(`INSERT INTO base VALUES (${id + 2}, clock_timestamp() + interval '2 h', ${id + 2})`);
      await engine.run();
      await late.query('COMMIT');
      await engine.settle();
      expect(engine.guarantee).toBe('exact');
      await engine.session.close();
    }
  });
});

/** Values at the edges of each built-in type, and of the types that travel as text. */
const VALUES: readonly (readonly [type: string, ...values: string[]])[] = [
  ['smallint', '-32768', '32767'], ['integer', '-2147483648'], ['bigint', '9223372036854775807', '9007199254740993'],
  ['numeric', 'NaN', 'Infinity', '-Infinity', '1.10', '0.000', `${'9'.repeat(60_000)}.${'1'.repeat(16_000)}`], ['numeric(12,2)', '-0.01'], ['real', '1e-45', 'NaN', '0.1', '16777216'], ['double precision', '-0', '1.7976931348623157e308', '5e-324', '0.30000000000000004'],
  ['boolean', 'true'], ['text', '', '\\N', '\\.', '\\', 'tab\there', 'line\nbreak\r', '\u{1F600} ключ', 'NULL'], ['varchar(3)', 'abc'], ['char(5)', 'a'], ['name', 'n'], ['"char"', 'x'], ['bytea', '\\x00ff5c', '\\x'],
  ['date', 'infinity', '0044-03-15 BC', '5874897-12-31'], ['timestamp', '-infinity', '4713-01-01 BC', '294276-12-31 23:59:59.999999'], ['timestamptz', 'infinity', '2026-03-29 02:30:00.000001+01', '0001-12-31 BC'], ['timestamptz(3)', '2026-01-01 00:00:00.123+00'],
  ['time', '24:00:00'], ['timetz', '23:59:59.999999-12'], ['interval', '-178000000 years', '1 mon -1 day 00:00:00.000001'], ['interval day to second', '1 02:03:04'],
  ['uuid', '00000000-0000-0000-0000-000000000001'], ['json', '{"a": 1E400, "a": 2}', 'null', '"x"'], ['jsonb', '{"big": 9007199254740993.10}', 'null'], ['xml', '<?xml version="1.0"?><a> b </a>'],
  ['money', '-12345.67'], ['inet', '10.0.0.1', '10.0.0.1/8', '::1'], ['cidr', '10.0.0.0/8'], ['macaddr', '08:00:2b:01:02:03'], ['macaddr8', '08:00:2b:01:02:03:04:05'], ['bit(5)', '10101'], ['bit varying', '', '1'],
  ['point', '(1.1,-0)'], ['box', '(1,1),(0,0)'], ['path', '[(0,0),(1,1)]'], ['polygon', '((0,0),(1,1),(1,0))'], ['circle', '<(0,0),1>'], ['line', '{1,2,3}'], ['lseg', '[(0,0),(1,1)]'],
  ['tsvector', `'a':1A 'b''c':2`], ['tsquery', `'a' & !'b'`], ['int4range', '[1,5)', 'empty'], ['numrange', '(,1.10]'], ['tstzrange', '["2026-01-01 00:00:00+00",infinity)'], ['int4multirange', '{[1,3),[5,7)}'], ['datemultirange', '{}'],
  ['integer[]', '{{1,NULL},{3,4}}', '[0:1]={1,2}', '{}'], ['text[]', '{"a,b","\\"q\\"",NULL,"NULL",""}'], ['numeric(5,2)[]', '{1.10,NaN}'], ['pg_lsn', '16/B374D848'], ['xid8', '18446744073709551615'], ['oid', '4294967295'],
  ['shade', 'dark'], ['shade[]', '{dark,NULL}'], ['cents', '1.10'], ['pair', '(1,"a ""b"", c")'], ['pair[]', '{"(1,x)"}'], ['regclass', 'pg_class'], ['shades', '[dark,dark]'],
];

describeWith({ postgres: true }, 'PostgreSQL types', () => {
  beforeAll(async () => {
    database = await createDatabase('types');
    await database.query(`CREATE TYPE shade AS ENUM ('light', 'dark'); CREATE DOMAIN cents AS numeric(12,2); CREATE TYPE pair AS (a int, b text); CREATE TYPE shades AS RANGE (subtype = shade)`);
    await database.query(`CREATE TABLE source (id int, ${VALUES.map(([type], i) => `c${i} ${type}`).join(', ')})`);
    const rows = Math.max(...VALUES.map((row) => row.length));
    for (let row = 0; row < rows; row += 1) {
      await database.query(`INSERT INTO source VALUES (${row}, ${VALUES.map(([type], i) => `$${i + 1}::text::${type}`).join(', ')})`, VALUES.map((values) => values[row + 1] ?? null));
    }
    session = await openSession(database);
  });

  afterAll(() => session.close());

  test.each<RowFormat>(['copy-text', 'copy-binary'])('every value arrives as it left, %s', async (format) => {
    const stream = await streamOf('source');
    // Binary is for columns that both servers know; one column that travels as text makes the whole read text.
    const columns = format === 'copy-text' ? stream.columns : stream.table.columns.filter((column) => column.pgType === column.nativeType).map(({ name }) => name);
    const chosen = { ...stream, columns };
    const target = `target_${format.slice(5)}`;
    await database.query(`CREATE TABLE ${target} (${columns.map((name) => `${name} ${stream.table.columns.find((column) => column.name === name)?.pgType}`).join(', ')})`);
    const read = await session.readPart(chosen, { from: null, to: null, rowEstimate: 1 }, format);
    expect(read.format).toBe(format);
    const client = await database.client();
    await pipeline(read.stream, client.query(copyStreams.from(`COPY ${target} FROM STDIN${format === 'copy-binary' ? ' (FORMAT binary)' : ''}`)));
    expect(read.rowsRead()).toBe(Number(await database.value(`SELECT count(*) FROM ${target}`)));
    for (const name of columns) {
      const texts = (table: string): Promise<unknown> => database.query(`SELECT ${name} IS NOT DISTINCT FROM NULL AS no, concat(${name}) AS text FROM ${table} ORDER BY id`);
      expect(await texts(target)).toEqual(await texts('source'));
    }
  });

  test('asked for binary with a column that travels as text, the read is text', async () => {
    const read = await session.readPart(await streamOf('source'), { from: null, to: null, rowEstimate: 1 }, 'copy-binary');
    expect(read.format).toBe('copy-text');
    await readLines(read);
  });
});
