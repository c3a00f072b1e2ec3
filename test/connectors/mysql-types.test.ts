/** Every type from MariaDB through COPY into PostgreSQL: what arrives equals what left, or the row is refused with its reason. */
import { pipeline } from 'node:stream/promises';
import pgCopyStreams from 'pg-copy-streams';
import type { Column } from '../../schemas/table.ts';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb, type MariadbDatabase } from '../support/mariadb.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';
import { openSession } from './mysql-engine.ts';

let source: MariadbDatabase;
let target: PostgresDatabase;
let tables = 0;

interface Loaded {
  readonly column: Column;
  /** PostgreSQL's text of the values, by id. */
  readonly values: Readonly<Record<string, string | null>>;
  /** Codes of the refused rows and the values shown with them, by id. */
  readonly refused: Readonly<Record<string, readonly [code: string, shown: string | null]>>;
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Reads the table and copies it as an extract does: columns of the mapped types, then the two fields of rejects. */
async function copyTable(name: string, types: Readonly<Record<string, string>> = {}): Promise<Loaded> {
  const session = await openSession(source);
  const table = await session.describe(name, types);
  const stream = { table, columns: table.columns.map((each) => each.name), key: table.key, cursor: null, overlapSeconds: 0, futureLimitSeconds: 0, fetchRows: 100, types };
  const rows = await session.readPart(stream, { from: null, to: null, rowEstimate: 0 }, 'copy-text');
  const columns = table.columns.map((each) => `${quoted(each.targetName)} ${each.pgType}`).join(', ');
  await target.query(`DROP TABLE IF EXISTS landing; CREATE TABLE landing (${columns}, rejects jsonb, shown jsonb)`);
  const client = await target.client();
  await pipeline(rows.stream, client.query(pgCopyStreams.from('COPY landing FROM STDIN')));
  await session.close();
  const column = table.columns[1];
  if (column === undefined) throw new Error('the table has one column');
  const good = await target.query(`SELECT id, CASE WHEN ${quoted(column.targetName)} IS NULL THEN NULL ELSE concat(${quoted(column.targetName)}) END AS v FROM landing WHERE rejects IS NULL`);
  const bad = await target.query(`SELECT shown->>'id' AS id, rejects->0->>'code' AS code, shown->>$1 AS v FROM landing WHERE rejects IS NOT NULL`, [column.name]);
  return {
    column,
    values: Object.fromEntries(good.map((row) => [row['id'] ?? '', row['v'] ?? null])),
    refused: Object.fromEntries(bad.map((row) => [row['id'] ?? '', [row['code'] ?? '', row['v'] ?? null]])),
  };
}

/** A table `(id, v <type>)` with these values, SQL as MariaDB takes it. */
async function load(type: string, values: readonly string[], types: Readonly<Record<string, string>> = {}): Promise<Loaded> {
  tables += 1;
  const client = await source.client();
  await client.query("SET sql_mode = 'ALLOW_INVALID_DATES', check_constraint_checks = 0");
  await client.query(`CREATE TABLE v${tables} (id int PRIMARY KEY, v ${type})`);
  for (const [index, value] of values.entries()) await client.query(`INSERT INTO v${tables} VALUES (${index}, ${value})`);
  client.destroy();
  return copyTable(`v${tables}`, types);
}

const longText = 'Zürich 日本 🏦 \\ '.repeat(200_000);

/** type → PostgreSQL's type, and [SQL in MariaDB, text in PostgreSQL]. */
const EXACT: readonly (readonly [string, string, readonly (readonly [string, string | null])[]])[] = [
  ['tinyint', 'smallint', [['-128', '-128'], ['NULL', null]]],
  ['tinyint(1)', 'smallint', [['1', '1'], ['-3', '-3']]],
  ['tinyint unsigned', 'smallint', [['255', '255']]],
  ['smallint unsigned', 'integer', [['65535', '65535']]],
  ['mediumint unsigned', 'integer', [['16777215', '16777215']]],
  ['int unsigned zerofill', 'bigint', [['42', '42'], ['4294967295', '4294967295']]],
  ['bigint', 'bigint', [['-9223372036854775808', '-9223372036854775808'], ['9007199254740993', '9007199254740993']]],
  ['bigint unsigned', 'numeric(20,0)', [['18446744073709551615', '18446744073709551615']]],
  ['decimal(65,30)', 'numeric(65,30)', [['12345678901234567890123456789012345.000000000000000000000000000001', '12345678901234567890123456789012345.000000000000000000000000000001'], ['-0.1', '-0.100000000000000000000000000000']]],
  ['decimal(12,2) unsigned', 'numeric(12,2)', [['1.10', '1.10']]],
  ['float', 'real', [['16777216', '1.6777216e+07'], ['0.1', '0.1'], ['3.4028234e38', '3.4028235e+38'], ['1.17549435e-38', '1.1754944e-38'], ['-123456.789', '-123456.79']]],
  ['double', 'double precision', [['0.1', '0.1'], ['1.7976931348623157e308', '1.7976931348623157e+308'], ['2.2250738585072014e-308', '2.2250738585072014e-308'], ['123456789.12345678', '123456789.12345678']]],
  ['bit(1)', 'bit(1)', [["b'1'", '1']]],
  ['bit(9)', 'bit(9)', [["b'100000001'", '100000001'], ['5', '000000101']]],
  ['bit(64)', 'bit(64)', [['18446744073709551615', '1'.repeat(64)], ['1', `${'0'.repeat(63)}1`]]],
  ['year', 'smallint', [['2155', '2155'], ['0', '0']]],
  ['date', 'date', [["'1000-01-01'", '1000-01-01'], ["'0001-01-01'", '0001-01-01'], ["'9999-12-31'", '9999-12-31'], ["'2024-02-29'", '2024-02-29']]],
  ['datetime', 'timestamp(0) without time zone', [["'2026-03-29 02:30:00'", '2026-03-29 02:30:00']]],
  ['datetime(6)', 'timestamp(6) without time zone', [["'2026-01-01 23:59:59.999999'", '2026-01-01 23:59:59.999999'], ["'0001-12-31 00:00:00.000001'", '0001-12-31 00:00:00.000001']]],
  ['timestamp(3) NULL', 'timestamp(3) with time zone', [["'2026-03-29 02:30:00.125'", '2026-03-29 02:30:00.125+00'], ["'1970-01-01 00:00:01'", '1970-01-01 00:00:01+00']]],
  ['time(6)', 'interval', [["'838:59:59.999999'", '838:59:59.999999'], ["'-838:59:59'", '-838:59:59'], ["'-00:00:00.5'", '-00:00:00.5'], ["'24:00:00'", '24:00:00']]],
  ['char(5)', 'character(5)', [["'ab'", 'ab   '], ["'日本🏦'", '日本🏦  ']]],
  ['varchar(20)', 'character varying(20)', [["'tab\\t nl\\n cr\\r \\\\'", 'tab\t nl\n cr\r \\'], ["'\\\\N'", '\\N'], ["'\\\\.'", '\\.'], ["''", ''], ["'a  '", 'a  '], ["'🏦'", '🏦']]],
  ['varchar(20) CHARACTER SET latin1', 'character varying(20)', [["'Zürich €'", 'Zürich €']]],
  ['varchar(20) CHARACTER SET utf16', 'character varying(20)', [["'日本 🏦'", '日本 🏦']]],
  ['varchar(20) CHARACTER SET cp1250', 'character varying(20)', [["'Łódź'", 'Łódź']]],
  ['longtext', 'text', [[`'${longText.replaceAll('\\', '\\\\')}'`, longText]]],
  ["enum('a','b,c','é')", 'text', [["'b,c'", 'b,c'], ["'é'", 'é']]],
  ["set('x','y','z')", 'text', [["'z,x'", 'x,z'], ["''", '']]],
  ['binary(4)', 'bytea', [["'ab'", '\\x61620000']]],
  ['varbinary(300)', 'bytea', [["x'00ff5c090a0d'", '\\x00ff5c090a0d'], ["''", '\\x'], ["REPEAT(x'80', 300)", `\\x${'80'.repeat(300)}`]]],
  ['longblob', 'bytea', [["REPEAT(x'00ff', 100000)", `\\x${'00ff'.repeat(100_000)}`]]],
  ['json', 'jsonb', [[`'{"a": 9007199254740993, "b": 1.10, "c": "é\\\\n\\\\\\\\u0000"}'`, '{"a": 9007199254740993, "b": 1.10, "c": "é\\n\\\\u0000"}'], [`'[1E400]'`, `[1${'0'.repeat(400)}]`], [`'"\\\\ud83c\\\\udfe6"'`, '"🏦"'], ["'null'", 'null']]],
  ['point', 'bytea', [["ST_GeomFromText('POINT(1 2)', 4326)", '\\x0101000000000000000000f03f0000000000000040']]],
  ['uuid', 'uuid', [["'123e4567-e89b-12d3-a456-426655440000'", '123e4567-e89b-12d3-a456-426655440000']]],
  ['inet6', 'inet', [["'2001:db8::ff00:42:8329'", '2001:db8::ff00:42:8329']]],
];

/** type, its SQL values, and for each the code and what quarantine shows. */
const REFUSED: readonly (readonly [string, readonly string[], readonly (readonly [string, string])[]])[] = [
  ['date', ["'0000-00-00'", "'2024-00-00'", "'2024-02-31'", "'0000-01-01'"], [['zero_date', '0000-00-00'], ['zero_date', '2024-00-00'], ['invalid_date', '2024-02-31'], ['zero_date', '0000-01-01']]],
  ['datetime(3)', ["'0000-00-00 00:00:00'", "'2023-02-29 10:00:00'"], [['zero_date', '0000-00-00 00:00:00.000'], ['invalid_date', '2023-02-29 10:00:00.000']]],
  ['timestamp NULL', ["'0000-00-00 00:00:00'"], [['zero_date', '0000-00-00 00:00:00']]],
  ['varchar(20)', ["'a\\0b'"], [['nul_character', '\\x610062']]],
  ['longtext', ["CONCAT(REPEAT('x', 300000), '\\0')"], [['nul_character', `\\x${'78'.repeat(300_000)}00`]]],
  ['json', [`'"\\\\u0000"'`, `'"\\\\ud800"'`, `'"\\\\udfe6\\\\ud83c"'`, "'[1e-20000]'", "'[1e200000]'", "'{a'"], [['json_nul_character', '"\\u0000"'], ['json_lone_surrogate', '"\\ud800"'], ['json_lone_surrogate', '"\\udfe6\\ud83c"'], ['json_number_range', '[1e-20000]'], ['json_number_range', '[1e200000]'], ['json_invalid', '{a']]],
];

describeWith({ postgres: true, mariadb: true }, 'MariaDB types', () => {
  beforeAll(async () => {
    source = await createMariadb('types');
    target = await createDatabase('types');
  });

  test.each(EXACT)('%s → %s', async (type, pgType, values) => {
    const loaded = await load(type, values.map(([sql]) => sql));
    expect(loaded.column.pgType).toBe(pgType);
    expect(loaded.refused).toEqual({});
    expect(loaded.values).toEqual(Object.fromEntries(values.map(([, text], index) => [String(index), text])));
  });

  test.each(REFUSED)('%s: what PostgreSQL can\'t hold is refused with its reason', async (type, values, expected) => {
    const loaded = await load(type, values);
    expect(loaded.values).toEqual({});
    expect(loaded.refused).toEqual(Object.fromEntries(expected.map((each, index) => [String(index), each])));
  });

  test('floats keep all their bits', async () => {
    await source.query('CREATE TABLE floats (id int PRIMARY KEY, v float)');
    const bits = Array.from({ length: 2000 }, (_, index) => {
      const view = new DataView(new ArrayBuffer(4));
      view.setUint32(0, (index * 2_147_483 + 8_388_608) >>> 0);
      return view.getFloat32(0);
    }).filter((value) => Number.isFinite(value) && Math.abs(value) < 3e38);
    await source.query(`INSERT INTO floats VALUES ${bits.map((value, index) => `(${index}, ${value}e0)`.replace(/e([+-]?\d+)e0/, 'e$1')).join(',')}`);
    await copyTable('floats');
    const rows = await target.query('SELECT id, encode(float4send(v), \'hex\') AS v FROM landing ORDER BY id');
    const hex = (value: number): string => {
      const buffer = Buffer.alloc(4);
      buffer.writeFloatBE(value);
      return buffer.toString('hex');
    };
    expect(rows.map((row) => row['v'])).toEqual(bits.map((value) => hex(Math.fround(value))));
  });

  test('zero dates as asked: null, or all dates of the stream as text', async () => {
    const values = ["'0000-00-00'", "'2024-01-02'"];
    expect((await load('date', values, { zero_dates: 'null' })).values).toEqual({ 0: null, 1: '2024-01-02' });
    const text = await load('date', values, { zero_dates: 'text' });
    expect(text.column.pgType).toBe('text');
    expect(text.values).toEqual({ 0: '0000-00-00', 1: '2024-01-02' });
  });

  test('tinyint(1) as boolean where asked', async () => {
    const loaded = await load('tinyint(1)', ['0', '1', '2'], { tinyint1: 'boolean' });
    expect(loaded.values).toEqual({ 0: 'f', 1: 't' });
    expect(loaded.refused).toEqual({ 2: ['not_boolean', '2'] });
  });

  test('a refused row takes no other with it, and shows all its values', async () => {
    await source.query("CREATE TABLE mixed (id int PRIMARY KEY, v varchar(9), b blob, n int, `__proto__` int); INSERT INTO mixed VALUES (1, 'a', 'x', 1, 1), (2, 'b\\0', x'00ff', NULL, 7), (3, 'c', 'z', 3, 1)");
    const loaded = await copyTable('mixed');
    expect(loaded.values).toEqual({ 1: 'a', 3: 'c' });
    const [shown] = await target.query('SELECT shown::text AS s, rejects::text AS r FROM landing WHERE rejects IS NOT NULL');
    expect(JSON.parse(shown?.['r'] ?? '')).toEqual([{ column: 'v', code: 'nul_character' }]);
    expect(shown?.['s']).toBe(String.raw`{"b": "\\x00ff", "n": null, "v": "\\x6200", "id": "2", "__proto__": "7"}`);
  });

  test('columns that SELECT * hides, generated ones, and names that can\'t stand', async () => {
    const long = 'n'.repeat(64);
    await source.query(`CREATE TABLE names (id int PRIMARY KEY, v int INVISIBLE, g int AS (id + 1) VIRTUAL, \`${long}\` int, \`${'n'.repeat(63)}ö\` int, ctid int, \`a\`\`b\` int, \`c"d\` int);
      INSERT INTO names (id, v, \`${long}\`, ctid, \`a\`\`b\`, \`c"d\`) VALUES (1, 5, 6, 7, 8, 9)`);
    const loaded = await copyTable('names');
    expect(loaded.values).toEqual({ 1: '5' });
    const [row] = await target.query('SELECT * FROM landing');
    const names = Object.keys(row ?? {});
    expect(names.every((name) => Buffer.byteLength(name) <= 63)).toBe(true);
    expect(new Set(names).size).toBe(10);
    expect(row).toMatchObject({ g: '2', ctid_: '7', 'a`b': '8', 'c"d': '9' });
  });

  test('a view and a partitioned table', async () => {
    await source.query("CREATE TABLE parted (id int PRIMARY KEY, v int) PARTITION BY HASH (id) PARTITIONS 3; INSERT INTO parted VALUES (1, 1), (2, 2), (3, 3); CREATE VIEW seen AS SELECT id, v * 2 AS v FROM parted");
    expect((await copyTable('parted')).values).toEqual({ 1: '1', 2: '2', 3: '3' });
    expect((await copyTable('seen')).values).toEqual({ 1: '2', 2: '4', 3: '6' });
    const session = await openSession(source);
    const shapes = await session.discover();
    const kinds = Object.fromEntries(shapes.filter((shape) => shape.schema === source.name).map((shape) => [shape.name, shape.kind]));
    expect(kinds).toMatchObject({ parted: 'partitioned', seen: 'view', floats: 'table' });
  });

  test('values of 64 MB cost memory by the value, not by the table', async () => {
    await source.query('SET GLOBAL max_allowed_packet = 1073741824');
    const client = await source.client();
    await client.query('CREATE TABLE big (id int PRIMARY KEY, v longblob)');
    for (let id = 1; id <= 6; id += 1) await client.query(`INSERT INTO big VALUES (${id}, REPEAT(x'00', 67108864))`);
    const session = await openSession(source);
    const table = await session.describe('big');
    const rows = await session.readPart({ table, columns: ['id', 'v'], key: ['id'], cursor: null, overlapSeconds: 0, futureLimitSeconds: 0, fetchRows: 1, types: {} }, { from: null, to: null, rowEstimate: 6 }, 'copy-text');
    const before = process.memoryUsage().rss;
    let most = 0;
    let bytes = 0;
    for await (const chunk of rows.stream) {
      bytes += (chunk as Buffer).length;
      most = Math.max(most, process.memoryUsage().rss);
    }
    expect(rows.rowsRead()).toBe(6);
    expect(bytes).toBe(6 * (2 + 3 + 2 * 67_108_864 + 7));
    expect(most - before).toBeLessThan(400 * 1024 * 1024);
  });
});
