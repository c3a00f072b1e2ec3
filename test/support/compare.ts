/**
 * Row-by-row comparison of a source table and its target that uses no code of Tidemark: both ends are read in key order as
 * their servers' own text, in lockstep, and compared as text. Neither table is held in memory.
 */
import mysql from 'mysql2';
import { MariadbDatabase } from './mariadb.ts';
import type { PostgresDatabase, TextRow } from './postgres.ts';

export type SourceDatabase = PostgresDatabase | MariadbDatabase;

export interface TableColumn {
  readonly name: string;
  /** As information_schema has it: `bigint`, `timestamp with time zone`, `datetime`. */
  readonly type: string;
}

const PAGE_ROWS = 5000;
const DIFFERENCES_MAX = 10;

const isMariadb = (database: SourceDatabase): database is MariadbDatabase => database instanceof MariadbDatabase;

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
const backticked = (name: string) => `\`${name.replaceAll('`', '``')}\``;

function split(table: string, schema: string): [string, string] {
  const dot = table.indexOf('.');
  return dot === -1 ? [schema, table] : [table.slice(0, dot), table.slice(dot + 1)];
}

async function columnsOf(database: SourceDatabase, table: string): Promise<TableColumn[]> {
  const [schema, name] = split(table, isMariadb(database) ? database.name : 'public');
  const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
  const sql = `SELECT column_name AS name, data_type AS type FROM information_schema.columns WHERE table_schema = ${literal(schema)} AND table_name = ${literal(name)} ORDER BY ordinal_position`;
  const rows = await database.query(sql);
  if (rows.length === 0) throw new Error(`no table ${table}`);
  return rows.map((row) => ({ name: row['name'] ?? '', type: row['type'] ?? '' }));
}

const TEXTS = /char|text|enum|json/;
const BYTES = /blob|binary|bytea/;
const FLOATS = /^(float|double|real)/;

/** Pages through a query inside one transaction; values are the server's text. */
async function* postgresRows(database: PostgresDatabase, sql: string): AsyncGenerator<TextRow> {
  const client = await database.client();
  try {
    await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; DECLARE rows NO SCROLL CURSOR FOR ${sql}`);
    for (;;) {
      const { rows } = await client.query({ text: `FETCH ${PAGE_ROWS} FROM rows`, rowMode: 'array' });
      yield* rows as TextRow[];
      if (rows.length < PAGE_ROWS) return;
    }
  } finally {
    await client.end();
  }
}

async function* mariadbRows(database: MariadbDatabase, sql: string): AsyncGenerator<TextRow> {
  const connection = mysql.createConnection(database.clientOptions());
  try {
    connection.query("SET time_zone = '+00:00'");
    const stream = connection.query({ sql, rowsAsArray: true }).stream({ highWaterMark: PAGE_ROWS });
    for await (const row of stream) yield row as TextRow;
  } finally {
    connection.destroy();
  }
}

/** Bytewise order for text and the value's order otherwise: the same at both ends. */
function order(key: readonly TableColumn[], render: (column: TableColumn) => string): string {
  return key.map(render).join(', ');
}

function postgresSelect(table: string, columns: readonly TableColumn[], key: readonly TableColumn[], own: readonly TableColumn[], canonical: boolean): string {
  const typeOf = new Map(own.map(({ name, type }) => [name, type]));
  const render = ({ name }: TableColumn) => {
    const column = quoted(name);
    const type = typeOf.get(name) ?? '';
    if (!canonical) return column;
    if (type === 'timestamp with time zone') return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`;
    if (type === 'timestamp without time zone') return `to_char(${column}, 'YYYY-MM-DD HH24:MI:SS.US')`;
    if (type === 'bytea') return `encode(${column}, 'hex')`;
    if (type === 'boolean') return `${column}::int`;
    return column;
  };
  const [schema, name] = split(table, 'public');
  const by = order(key, (column) => (TEXTS.test(typeOf.get(column.name) ?? '') ? `${quoted(column.name)} COLLATE "C"` : quoted(column.name)));
  return `SELECT ${columns.map(render).join(', ')} FROM ${quoted(schema)}.${quoted(name)} ORDER BY ${by}`;
}

function mariadbSelect(database: MariadbDatabase, table: string, columns: readonly TableColumn[], key: readonly TableColumn[]): string {
  const render = ({ name, type }: TableColumn) => {
    if (type === 'datetime' || type === 'timestamp') return `DATE_FORMAT(${backticked(name)}, '%Y-%m-%d %H:%i:%s.%f')`;
    return BYTES.test(type) ? `LOWER(HEX(${backticked(name)}))` : backticked(name);
  };
  const [schema, name] = split(table, database.name);
  const by = order(key, (column) => (TEXTS.test(column.type) ? `CAST(${backticked(column.name)} AS BINARY)` : backticked(column.name)));
  return `SELECT ${columns.map(render).join(', ')} FROM ${backticked(schema)}.${backticked(name)} ORDER BY ${by}`;
}

export interface Comparison {
  readonly sourceRows: number;
  readonly targetRows: number;
  /** The first differences in words; empty where the tables are equal. */
  readonly differences: readonly string[];
}

type Ordered = (left: string, right: string, column: TableColumn) => number;

const compareKeys: Ordered = (left, right, { type }) => {
  if (TEXTS.test(type)) return Buffer.compare(Buffer.from(left), Buffer.from(right));
  if (/int/.test(type)) return BigInt(left) < BigInt(right) ? -1 : BigInt(left) > BigInt(right) ? 1 : 0;
  return left < right ? -1 : left > right ? 1 : 0;
};

/** Reads both sides once, in key order. `key`: integer, text or date columns, NOT NULL, at both ends under the same name. */
export async function compareTables(source: SourceDatabase, sourceTable: string, target: PostgresDatabase, targetTable: string, key: readonly string[]): Promise<Comparison> {
  const columns = await columnsOf(source, sourceTable);
  const own = await columnsOf(target, targetTable);
  const absent = columns.filter(({ name }) => !own.some((column) => column.name === name)).map(({ name }) => `the target has no column ${name}`);
  if (absent.length > 0) return { sourceRows: -1, targetRows: -1, differences: absent };
  const keyColumns = key.map((name) => columns.find((column) => column.name === name) ?? fail(`no key column ${name}`));
  const crossing = isMariadb(source);
  const left = isMariadb(source)
    ? mariadbRows(source, mariadbSelect(source, sourceTable, columns, keyColumns))
    : postgresRows(source, postgresSelect(sourceTable, columns, keyColumns, columns, false));
  const right = postgresRows(target, postgresSelect(targetTable, columns, keyColumns, own, crossing));
  return merge(left, right, columns, keyColumns);
}

function fail(message: string): never {
  throw new Error(message);
}

async function merge(left: AsyncGenerator<TextRow>, right: AsyncGenerator<TextRow>, columns: readonly TableColumn[], key: readonly TableColumn[]): Promise<Comparison> {
  const differences: string[] = [];
  const keyAt = key.map((column) => columns.indexOf(column));
  const shown = (row: TextRow) => keyAt.map((index) => row[index]).join(',');
  const counts = { sourceRows: 0, targetRows: 0 };
  let [a, b] = [await left.next(), await right.next()];
  while ((a.done !== true || b.done !== true) && differences.length < DIFFERENCES_MAX) {
    const side = a.done === true ? 1 : b.done === true ? -1 : ordering(a.value, b.value, key, keyAt);
    if (side < 0) differences.push(`missing in the target: ${shown(a.value as TextRow)}`);
    else if (side > 0) differences.push(`only in the target: ${shown(b.value as TextRow)}`);
    else differences.push(...unequal(a.value as TextRow, b.value as TextRow, columns, shown));
    if (side <= 0) {
      counts.sourceRows += 1;
      a = await left.next();
    }
    if (side >= 0) {
      counts.targetRows += 1;
      b = await right.next();
    }
  }
  await Promise.all([left.return(undefined), right.return(undefined)]);
  return { ...counts, differences };
}

function ordering(a: TextRow, b: TextRow, key: readonly TableColumn[], keyAt: readonly number[]): number {
  for (const [position, index] of keyAt.entries()) {
    const side = compareKeys(a[index] ?? '', b[index] ?? '', key[position] ?? fail('key'));
    if (side !== 0) return side;
  }
  return 0;
}

function unequal(a: TextRow, b: TextRow, columns: readonly TableColumn[], shown: (row: TextRow) => string): string[] {
  return columns.flatMap(({ name, type }, index) => {
    const [left, right] = [a[index] ?? null, b[index] ?? null];
    if (left === right) return [];
    // Two spellings of one binary floating point number: both are read exactly by Number.
    if (FLOATS.test(type) && left !== null && right !== null && Number(left) === Number(right)) return [];
    return [`${shown(a)}: ${name} is ${left ?? 'NULL'} in the source and ${right ?? 'NULL'} in the target`];
  });
}
