/** Ranges of (cursor, key) as SQL conditions. */
import type { Column } from '../../schemas/table.ts';
import type { StreamRead } from '../connector.ts';
import type { OpenConnection } from './connection.ts';
import { columnOf, compareExpression, literal, selectExpression, textExpression } from './columns.ts';
import { quoteTable } from './quoting.ts';
import { baseType } from './types.ts';

const snapshots = new WeakMap<OpenConnection, number>();

/** Begins a transaction that sees the rows as of now; ends the one before. */
export async function beginSnapshot(connection: OpenConnection, what: string): Promise<void> {
  snapshots.set(connection, snapshotsOf(connection) + 1);
  await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY', what);
}

/** How many this connection has begun. */
export function snapshotsOf(connection: OpenConnection): number {
  return snapshots.get(connection) ?? 0;
}

/** `a > x`, `(a > x OR (a = x AND b > y)) AND a >= x`, ...: MySQL finds no range in row-value comparisons, but does in these. */
function beyond(columns: readonly Column[], values: readonly string[], operator: '>' | '<', inclusive: boolean): string {
  const [column, ...rest] = columns;
  const [value, ...others] = values;
  if (column === undefined || value === undefined) return inclusive ? 'TRUE' : 'FALSE';
  const name = compareExpression(column);
  const text = literal(column, value);
  if (rest.length === 0) return `${name} ${operator}${inclusive ? '=' : ''} ${text}`;
  return `(${name} ${operator} ${text} OR (${name} = ${text} AND ${beyond(rest, others, operator, inclusive)})) AND ${name} ${operator}= ${text}`;
}

export function after(columns: readonly Column[], values: readonly string[]): string {
  return beyond(columns, values, '>', false);
}

export function upTo(columns: readonly Column[], values: readonly string[]): string {
  return beyond(columns, values, '<', true);
}

export function keyColumns(stream: StreamRead): readonly Column[] {
  return stream.key.map((name) => columnOf(stream.table, name));
}

export function orderBy(columns: readonly Column[], direction: 'ASC' | 'DESC' = 'ASC'): string {
  return columns.length === 0 ? '' : `ORDER BY ${columns.map((column) => `${compareExpression(column)} ${direction}`).join(', ')}`;
}

export function textList(columns: readonly Column[]): string {
  return columns.map(textExpression).join(', ');
}

/** The rows of a batch or part. Aliased: a column's own name never reaches the driver. */
export function selectRows(stream: StreamRead, where: string): string {
  const columns = stream.columns.map((name, index) => `${selectExpression(columnOf(stream.table, name))} AS c${index}`);
  return `SELECT ${columns.join(', ')} FROM ${quoteTable(stream.table)} WHERE ${where}`;
}

const ZERO_DATES: Readonly<Record<string, string>> = { date: "'0000-00-00'", datetime: "'0000-00-00 00:00:00'", timestamp: "'0000-00-00 00:00:00'" };

function zeroDate(cursor: Column): string | undefined {
  return ZERO_DATES[baseType(cursor)];
}

/** Rows whose cursor says nothing about when they came: NULL, or a zero date. Null where the column can have neither. */
export function unplacedRows(cursor: Column): string | null {
  const name = compareExpression(cursor);
  const zero = zeroDate(cursor);
  const conditions = [cursor.nullable ? `${name} IS NULL` : '', zero === undefined ? '' : `${name} = ${zero}`].filter((each) => each !== '');
  // For NOT NULL dates MySQL answers IS NULL with the zero dates; for others the two are different rows.
  return conditions.length === 0 ? null : `(${conditions.join(' OR ')})`;
}

/** Rows with a cursor of which an order can be told. */
export function placedRows(cursor: Column): string {
  const zero = zeroDate(cursor);
  return zero === undefined ? `${compareExpression(cursor)} IS NOT NULL` : `${compareExpression(cursor)} > ${zero}`;
}

/** From the smallest of the values on; all placed rows where it is null. */
export function fromAny(cursor: Column, values: readonly string[] | null): string {
  if (values === null) return placedRows(cursor);
  const name = compareExpression(cursor);
  return `(${[...new Set(values)].map((value) => `${name} >= ${literal(cursor, value)}`).join(' OR ')})`;
}
