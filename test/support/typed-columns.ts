/**
 * Columns of many types in the SQL of each product, with values at their edges and at random, and how a source's own client and psql print
 * them so that the two texts can be compared. Nothing here uses Tidemark's code.
 */
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import type { DerbyDatabase } from './derby.ts';
import type { MariadbDatabase } from './mariadb.ts';
import type { PostgresDatabase } from './postgres.ts';

export interface TypedColumn {
  readonly type: string;
  /** SQL literals of values at the edges. */
  readonly edges: readonly string[];
  /** SQL literals. */
  readonly random: fc.Arbitrary<string>;
  /** The column `c` as the source's client prints it; no text holds a tab or a line break. */
  readonly source: (c: string) => string;
  /** The same text of the target's column. */
  readonly target: (c: string) => string;
}

export const integer = (min: bigint, max: bigint): fc.Arbitrary<string> => fc.bigInt({ min, max }).map(String);
export const plain = (c: string): string => c;
export const text = (c: string): string => `${c}::text`;

/** `-123.4500`: up to `digits` digits, `scale` of them after the point. */
const decimal = (digits: number, scale: number): fc.Arbitrary<string> =>
  fc.bigInt({ min: -(10n ** BigInt(digits)) + 1n, max: 10n ** BigInt(digits) - 1n }).map((unscaled) => {
    const absolute = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
    return `${unscaled < 0n ? '-' : ''}${absolute.slice(0, -scale)}.${absolute.slice(-scale)}`;
  });

const two = (value: number): string => String(value).padStart(2, '0');
export const day = fc.tuple(fc.integer({ min: 1583, max: 9999 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 28 })).map(([y, m, d]) => `${y}-${two(m)}-${two(d)}`);
export const clock = fc.tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }), fc.integer({ min: 0, max: 59 })).map(([h, m, s]) => `${two(h)}:${two(m)}:${two(s)}`);
const moment = fc.tuple(day, clock, fc.integer({ min: 0, max: 999_999 })).map(([d, c, us]) => `${d} ${c}.${String(us).padStart(6, '0')}`);
export const words = fc.string({ unit: 'binary', maxLength: 20 }).filter((value) => !value.includes('\u0000'));
const printable = fc.string({ unit: fc.constantFrom(...'abc XYZ09"\\|\'-;,é€日𝄞'), maxLength: 20 });
export const bytes = fc.uint8Array({ maxLength: 20 }).map((value) => Buffer.from(value).toString('hex'));
const hexOf = (value: string): string => Buffer.from(value).toString('hex');
export const quoted = (value: string): string => `'${value.replaceAll("'", "''")}'`;

const HARD_TEXTS = ['', '\\N', '\\.', '\\', 'tab\there', 'line\nbreak\r', '𝄞 ключ', 'NULL', '<>', ' both '];
const micros = (c: string): string => `to_char(${c}, 'YYYY-MM-DD HH24:MI:SS.US')`;

export const mariadbText = (value: string): string => `CONVERT(x'${hexOf(value)}' USING utf8mb4)`;
export const utf8Hex = (c: string): string => `upper(encode(convert_to(${c}, 'UTF8'), 'hex'))`;

export const MARIADB: readonly TypedColumn[] = [
  { type: 'tinyint', edges: ['-128', '127'], random: integer(-128n, 127n), source: plain, target: text },
  { type: 'int unsigned', edges: ['0', '4294967295'], random: integer(0n, 4294967295n), source: plain, target: text },
  { type: 'bigint', edges: ['-9223372036854775808', '9007199254740993'], random: integer(-(2n ** 63n), 2n ** 63n - 1n), source: plain, target: text },
  { type: 'bigint unsigned', edges: ['18446744073709551615'], random: integer(0n, 2n ** 64n - 1n), source: plain, target: text },
  { type: 'decimal(65,30)', edges: [`-${'9'.repeat(35)}.${'9'.repeat(30)}`, '0'], random: decimal(65, 30), source: plain, target: text },
  { type: 'bit(64)', edges: ['18446744073709551615', '1'], random: integer(0n, 2n ** 64n - 1n), source: (c) => `LPAD(BIN(${c}), 64, '0')`, target: text },
  { type: 'year', edges: ['1901', '2155'], random: integer(1901n, 2155n), source: plain, target: text },
  { type: 'date', edges: ["'0001-01-01'", "'9999-12-31'"], random: day.map(quoted), source: plain, target: text },
  { type: 'datetime(6)', edges: ["'0001-12-31 00:00:00.000001'", "'2026-03-29 02:30:00'"], random: moment.map(quoted), source: plain, target: micros },
  { type: 'timestamp(6) NULL', edges: ["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'"], random: fc.tuple(fc.integer({ min: 1971, max: 2037 }), moment).map(([y, m]) => `'${y}${m.slice(4)}'`), source: plain, target: (c) => micros(`${c} at time zone 'UTC'`) },
  { type: 'time(6)', edges: ["'-838:59:59.999999'", "'24:00:00'"], random: fc.tuple(fc.constantFrom('', '-'), fc.integer({ min: 0, max: 837 }), clock, fc.integer({ min: 1, max: 999_999 })).map(([sign, h, c, us]) => `'${sign}${two(h)}${c.slice(2)}.${String(us).padStart(6, '0')}'`), source: plain, target: (c) => `CASE WHEN ${c} < interval '0' THEN '-' ELSE '' END || to_char(CASE WHEN ${c} < interval '0' THEN -${c} ELSE ${c} END, 'HH24:MI:SS.US')` },
  { type: 'varchar(300)', edges: HARD_TEXTS.map(mariadbText), random: words.map(mariadbText), source: (c) => `HEX(${c})`, target: utf8Hex },
  { type: 'varchar(60) CHARACTER SET utf16', edges: HARD_TEXTS.map(mariadbText), random: words.map(mariadbText), source: (c) => `HEX(CONVERT(${c} USING utf8mb4))`, target: utf8Hex },
  { type: 'longtext', edges: [`REPEAT('é€', 50000)`], random: words.map(mariadbText), source: (c) => `MD5(${c})`, target: (c) => `md5(${c})` },
  { type: "set('x','y','z')", edges: ["''", "'z,x'"], random: fc.subarray(['x', 'y', 'z']).map((all) => quoted(all.join(','))), source: (c) => `CONCAT('<', ${c}, '>')`, target: (c) => `'<' || ${c} || '>'` },
  { type: 'varbinary(60)', edges: ["x'00ff5c090a0d'", "''"], random: bytes.map((hex) => `x'${hex}'`), source: (c) => `HEX(${c})`, target: (c) => `upper(encode(${c}, 'hex'))` },
  { type: 'double', edges: ['1.7976931348623157e308', '0.1', '-2.2250738585072014e-308'], random: fc.double({ noNaN: true, noDefaultInfinity: true, min: 1e-300, max: 1e300 }).map(String), source: (c) => `(${c} + 0)`, target: (c) => `${c}::text` },
];

export const derbyText = (c: string): string => `'<' || ${c} || '>'`;
export const DERBY: readonly TypedColumn[] = [
  { type: 'smallint', edges: ['-32768', '32767'], random: integer(-32768n, 32767n), source: plain, target: text },
  { type: 'integer', edges: ['-2147483648', '2147483647'], random: integer(-(2n ** 31n), 2n ** 31n - 1n), source: plain, target: text },
  { type: 'bigint', edges: ['-9223372036854775808', '9007199254740993'], random: integer(-(2n ** 63n), 2n ** 63n - 1n), source: plain, target: text },
  { type: 'decimal(31,10)', edges: ['123456789012345678901.0123456789', '-0.0000000001'], random: decimal(31, 10), source: plain, target: text },
  { type: 'decimal(31,31)', edges: ['.1234567890123456789012345678901', '0'], random: integer(0n, 10n ** 31n - 1n).map((digits) => `.${digits.padStart(31, '0')}`), source: plain, target: text },
  { type: 'double', edges: ['0.1', '1.79769E+308'], // ij cuts a double after 22 characters.
    random: fc.double({ noNaN: true, noDefaultInfinity: true, min: 1e-60, max: 1e60 }).map((value) => value.toExponential().toUpperCase()), source: plain, target: text },
  { type: 'char(8)', edges: ["'ab'", "'äöü€'"], random: fc.string({ unit: fc.constantFrom(...'abcXYZ09é€日'), minLength: 1, maxLength: 8 }).map(quoted), source: derbyText, target: (c) => `'<' || rpad(${c}::text, 8) || '>'` },
  { type: 'varchar(60)', edges: ["'tail  '", "''", "'\\N'", "'\\.'", "'𝄞 clef'"], random: printable.map(quoted), source: derbyText, target: (c) => `'<' || ${c} || '>'` },
  { type: 'varchar(40) for bit data', edges: ["X'00FF5C090A0D'"], random: bytes.filter((hex) => hex !== '').map((hex) => `X'${hex}'`), source: plain, target: (c) => `encode(${c}, 'hex')` },
  { type: 'date', edges: ["'0001-01-01'", "'9999-12-31'"], random: day.map(quoted), source: plain, target: text },
  { type: 'time', edges: ["'00:00:00'", "'23:59:59'"], random: clock.map(quoted), source: plain, target: text },
  { type: 'timestamp', edges: ["TIMESTAMP('1583-01-01 00:00:00.000001')", "TIMESTAMP('2024-02-29 23:59:59.123456')"], random: moment.map((value) => `TIMESTAMP('${value}')`), source: (c) => `CHAR(${c})`, target: (c) => `regexp_replace(${micros(c)}, '0{1,5}$', '')` },
];

export const same = (c: string): string => `CASE WHEN ${c} IS NOT DISTINCT FROM NULL THEN NULL ELSE encode(convert_to(concat(${c}), 'UTF8'), 'hex') END`;
export const pg = (type: string, edges: readonly string[], random: fc.Arbitrary<string>): TypedColumn => ({ type, edges: edges.map(quoted), random: random.map(quoted), source: same, target: same });
const json = fc.json({ maxDepth: 2 }).filter((value) => !/\\u0000|\u0000|\\ud[89ab]/i.test(value));
export const POSTGRES: readonly TypedColumn[] = [
  pg('bigint', ['-9223372036854775808', '9007199254740993'], integer(-(2n ** 63n), 2n ** 63n - 1n)),
  pg('numeric', ['NaN', 'Infinity', '0.000', `${'9'.repeat(100_000)}.${'1'.repeat(16_000)}`], decimal(80, 40)),
  pg('numeric(40,10)', ['-0.01'], decimal(40, 10)),
  pg('double precision', ['-0', '5e-324', 'NaN'], fc.double().filter((value) => Number.isFinite(value)).map(String)),
  pg('money', ['-12345.67'], decimal(14, 2)),
  pg('bytea', ['\\x00ff5c', '\\x'], bytes.map((hex) => `\\x${hex}`)),
  pg('timestamp', ['-infinity', '4713-01-01 BC', '294276-12-31 23:59:59.999999'], moment),
  pg('timestamptz', ['infinity', '2026-03-29 02:30:00.000001+01'], moment.map((value) => `${value}+00`)),
  pg('date', ['infinity', '0044-03-15 BC'], day),
  pg('interval', ['-178000000 years', '1 mon -1 day 00:00:00.000001'], fc.tuple(fc.integer({ min: -9999, max: 9999 }), fc.integer({ min: -9999, max: 9999 }), clock).map(([m, d, c]) => `${m} mons ${d} days ${c}`)),
  pg('inet', ['10.0.0.1/8', '::1'], fc.ipV4()),
  pg('bit varying', ['', '1'], fc.string({ unit: fc.constantFrom('0', '1'), maxLength: 70 })),
  pg('jsonb', ['null', '{"big": 9007199254740993.10}'], json),
  pg('integer[]', ['{{1,NULL},{3,4}}', '[0:1]={1,2}', '{}'], fc.array(fc.option(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { nil: 'NULL' }), { maxLength: 5 }).map((all) => `{${all.join(',')}}`)),
  pg('numrange', ['(,1.10]', 'empty'], fc.tuple(fc.integer({ min: -999, max: 0 }), fc.integer({ min: 1, max: 999 })).map(([from, to]) => `[${from}.5,${to})`)),
  pg('datemultirange', ['{}', '{[2024-01-01,2024-02-01),[2025-01-01,)}'], day.map((value) => `{[${value},infinity)}`)),
  pg('xml', ['<?xml version="1.0"?><a> b </a>'], fc.constantFrom('<a/>', '<b>é</b>')),
  pg('tsvector', [`'a':1A 'b''c':2`], fc.constantFrom(`'x':3`, '')),
  pg('shade', ['dark'], fc.constantFrom('light', 'dark')),
  pg('shade[]', ['{dark,NULL}'], fc.constantFrom('{}', '{light}')),
  pg('cents', ['1.10'], decimal(8, 2)),
  pg('pair', ['(1,"a ""b"", c")'], fc.integer({ min: -99, max: 99 }).map((n) => `(${n},x)`)),
  pg('hstore', ['"a"=>NULL, "b c"=>"\\"q"'], fc.integer({ min: -99, max: 99 }).map((n) => `"k"=>"${n}"`)),
  { type: 'text', edges: HARD_TEXTS.map((value) => `convert_from('\\x${hexOf(value)}', 'UTF8')`), random: words.map((value) => `convert_from('\\x${hexOf(value)}', 'UTF8')`), source: same, target: same },
  { type: 'integer GENERATED ALWAYS AS (id * 2) STORED', edges: [], random: fc.constant('DEFAULT'), source: same, target: same },
];
/** Types of the PostgreSQL columns that are no built-in ones. */
export const POSTGRES_TYPES = `CREATE EXTENSION IF NOT EXISTS hstore; CREATE TYPE shade AS ENUM ('light', 'dark'); CREATE DOMAIN cents AS numeric(12,2); CREATE TYPE pair AS (a int, b text)`;

function printed(command: string, args: readonly string[], input: string, env: Readonly<Record<string, string>>): string {
  const { status, stdout, stderr } = spawnSync(command, args, { input, env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 });
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr.slice(0, 500)}`);
  return stdout;
}

type Printed = readonly (readonly string[])[];
const linesOf = (output: string): Printed => (output === '' ? [] : output.replace(/\n$/, '').split('\n').map((line) => line.split('\t')));

/** Rows as psql prints them. */
export function byPsql(database: PostgresDatabase, sql: string): Printed {
  const { host, port, user, password } = database.server;
  const args = ['-X', '-q', '-A', '-t', '-F', '\t', '-P', 'null=NULL', '-v', 'ON_ERROR_STOP=1', '-h', host, '-p', String(port), '-U', user, '-d', database.name];
  return linesOf(printed('psql', args, `SET timezone = 'UTC'; SET datestyle = 'ISO';\n${sql};\n`, { PGPASSWORD: password, PGCLIENTENCODING: 'UTF8' }));
}

/** Rows as the mariadb client prints them. */
export function byMariadb(database: MariadbDatabase, sql: string): Printed {
  const { host, port, user, password } = database.server;
  const args = ['--no-defaults', '--protocol=TCP', '-h', host, '-P', String(port), '-u', user, '--default-character-set=utf8mb4', '-N', '-B', database.name];
  return linesOf(printed('mariadb', args, `SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES';\n${sql};\n`, { MYSQL_PWD: password }));
}

/** Rows as Derby's ij prints them; its columns are padded and parted by bars, so each is asked for by itself. */
export async function byIj(database: DerbyDatabase, table: string, columns: readonly string[]): Promise<Printed> {
  const rows: string[][] = [];
  for (const [index, column] of columns.entries()) {
    const output = await database.run(`SELECT id, ${column} FROM ${table} ORDER BY id`);
    const values = output.split('\n').flatMap((line) => /^(\d+)\s*\|(.*?)\s*$/.exec(line)?.[2] ?? []);
    values.forEach((value, row) => ((rows[row] ??= [])[index] = value));
  }
  return rows;
}

/** `-1E-10` and `-.0000000001`, as clients print decimals, as PostgreSQL does. Digits stay text. */
function plainDecimal(value: string): string {
  const match = /^(-?)(\d*)\.?(\d*)(?:E([+-]?\d+))?$/.exec(value);
  if (match === null) return value;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const scale = fraction.length - Number(exponent);
  const digits = `${whole}${fraction}`.padStart(scale + 1, '0');
  const units = digits.slice(0, digits.length - scale).replace(/^0+(?=\d)/, '');
  return scale <= 0 ? `${sign}${digits.replace(/^0+(?=\d)/, '')}${'0'.repeat(-scale)}` : `${sign}${units}.${digits.slice(-scale)}`;
}

/** Numbers are printed in as many ways as there are products: floats so that all give back the same bits of their width, decimals with the same digits. */
export function sameNumbers(columns: readonly TypedColumn[], rows: Printed): Printed {
  return rows.map((row) => row.map((value, index) => (value === 'NULL' ? value : sameNumber(columns[index]?.type ?? '', value))));
}

function sameNumber(type: string, value: string): string {
  if (type === 'real') return String(Math.fround(Number(value)));
  if (/^(double|float)$/.test(type)) return String(Number(value));
  return type.startsWith('decimal') ? plainDecimal(value) : value;
}

/** Rows of literals: one for each edge of the column that has most, the others filled up with NULL, and a row of NULLs. */
export function edgeRows(columns: readonly TypedColumn[]): readonly (readonly string[])[] {
  const rows = Math.max(...columns.map(({ edges }) => edges.length)) + 1;
  return Array.from({ length: rows }, (_, row) => columns.map(({ edges, type }) => (type.includes('GENERATED') ? 'DEFAULT' : (edges[row] ?? 'NULL'))));
}

export function createSql(table: string, columns: readonly TypedColumn[]): string {
  return `CREATE TABLE ${table} (id integer NOT NULL PRIMARY KEY, ${columns.map(({ type }, index) => `c${index} ${type}`).join(', ')})`;
}

export function insertSql(table: string, rows: readonly (readonly string[])[]): string[] {
  return rows.map((row, index) => `INSERT INTO ${table} VALUES (${[String(index), ...row].join(', ')})`);
}

export function sourceList(columns: readonly TypedColumn[]): string[] {
  return columns.map(({ source }, index) => source(`c${index}`));
}

export function targetList(columns: readonly TypedColumn[]): string[] {
  return columns.map(({ target }, index) => target(`c${index}`));
}
