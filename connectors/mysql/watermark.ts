/** The parts of a position that are made of rows at the watermark: what poll compares, and whether the table is still the same. */
import type { Position } from '../../schemas/position.ts';
import type { Column } from '../../schemas/table.ts';
import type { StreamRead } from '../connector.ts';
import type { RunBounds } from './bounds.ts';
import { cursorOf, literal } from './columns.ts';
import type { OpenConnection } from './connection.ts';
import { digestRows } from './digest.ts';
import { lost, type ReadState } from './position-state.ts';
import { quoteTable, quoteText } from './quoting.ts';
import { fromAny, keyColumns, orderBy, placedRows, textList, unplacedRows } from './range.ts';
import { baseType, cursorFamily, fractionDigits } from './types.ts';
import { readMarks, requireSameHistory, type Company, type TableMark } from './witness.ts';
import { TidemarkError } from '../../schemas/errors.ts';

/** Beyond so many rows a poll does not digest all that the next run reads again. */
const DIGEST_ROWS_MAX = 50_000;
const LAST_ROWS = 8;

export function tableName(stream: StreamRead): string {
  return `${stream.table.schema}.${stream.table.name}`;
}

interface CountedTable extends TableMark {
  /** The column of the counter. */
  readonly counted: string | null;
}

async function readMark(connection: OpenConnection, stream: StreamRead): Promise<CountedTable> {
  const { schema, name } = stream.table;
  const rows = await connection.query(
    `SELECT t.create_time, t.auto_increment, t.table_name, (SELECT c.column_name FROM information_schema.columns c
       WHERE c.table_schema = ${quoteText(schema)} AND c.table_name = ${quoteText(name)} AND c.extra LIKE '%auto_increment%' LIMIT 1)
     FROM information_schema.tables t WHERE t.table_schema = ${quoteText(schema)} AND t.table_name = ${quoteText(name)}`,
    tableName(stream),
  );
  const row = rows.find((each) => each[2] === name);
  if (row === undefined) throw new TidemarkError('source.table_missing', `Table ${tableName(stream)} does not exist any more.`);
  return { made: row[0] ?? null, next: row[1] ?? null, counted: row[3] ?? null };
}

/** Digests of what the next run would read again: rows from `from` on, and rows without a place in the order. */
export function digestTail(connection: OpenConnection, stream: StreamRead, cursor: Column, from: readonly string[] | null): Promise<string> {
  const unplaced = unplacedRows(cursor);
  return digestRows(connection, stream, [fromAny(cursor, from), ...(unplaced === null ? [] : [unplaced])]);
}

/** In the run's first snapshot: what changes later makes a poll say so. */
async function readTail(connection: OpenConnection, stream: StreamRead, cursor: Column, bounds: RunBounds): Promise<ReadState['tail']> {
  let from = bounds.lower;
  for (const { start } of bounds.open) {
    const reach = start === null ? null : (bounds.history.findLast(([clock]) => clock <= start)?.[1] ?? null);
    from = from === null || reach === null ? null : [...from, reach];
  }
  const [count] = await connection.query(
    `SELECT COUNT(*) FROM (SELECT 1 FROM ${quoteTable(stream.table)} WHERE ${fromAny(cursor, from)} LIMIT ${DIGEST_ROWS_MAX + 1}) d`,
    tableName(stream),
  );
  const partial = Number(count?.[0] ?? '0') > DIGEST_ROWS_MAX;
  const digested = partial ? (bounds.lower ?? (bounds.bound === null ? null : [bounds.bound])) : from;
  const unique = digested === null ? null : [...new Set(digested)];
  return { from: unique, partial, max: bounds.max, digest: await digestTail(connection, stream, cursor, unique) };
}

async function readLast(connection: OpenConnection, stream: StreamRead, cursor: Column): Promise<string[][]> {
  const key = keyColumns(stream);
  if (key.length === 0) return [];
  const columns = [cursor, ...key];
  const rows = await connection.query(
    `SELECT ${textList(columns)} FROM ${quoteTable(stream.table)} WHERE ${placedRows(cursor)} ${orderBy(columns, 'DESC')} LIMIT ${LAST_ROWS}`,
    tableName(stream),
  );
  return rows.map((row) => row.map((value) => value ?? ''));
}

/** The state a run ends with, made in its first snapshot. `previous` keeps the watermark from moving back where rows were deleted. */
export async function stateOf(connection: OpenConnection, stream: StreamRead, bounds: RunBounds, previous: ReadState | null): Promise<ReadState> {
  const cursor = cursorOf(stream);
  const { made, next } = await readMark(connection, stream);
  const was = previous?.bound ?? null;
  let bound = bounds.bound;
  if (was !== null && bound !== null) {
    const [row] = await connection.query(`SELECT ${literal(cursor, bound)} < ${literal(cursor, was)}`, 'a comparison');
    if (row?.[0] === '1') bound = was;
  }
  return {
    version: 1,
    cursor: { name: cursor.name, family: cursorFamily(cursor), fraction: fractionDigits(cursor) },
    key: [...stream.key],
    made,
    history: bounds.history,
    open: bounds.open,
    lower: bounds.lower === null ? null : [...new Set(bounds.lower)],
    bound: bound ?? was,
    run: null,
    tail: await readTail(connection, stream, cursor, bounds),
    last: await readLast(connection, stream, cursor),
    marks: await readMarks(connection, next),
  };
}

/** `at` and the rows it counts: an AUTO_INCREMENT that falls back draws values below the watermark again. */
function hasRewound(mark: CountedTable, stream: StreamRead, state: ReadState): boolean {
  if (mark.counted === null || mark.counted !== stream.cursor || mark.next === null || state.bound === null) return false;
  return /^\d+$/.test(state.bound) && BigInt(mark.next) <= BigInt(state.bound);
}

/**
 * Throws where reading on from `state` could miss rows in silence: `source.schema_changed` for another cursor or key,
 * `source.history_lost` for a table or a server that is not the one that was read. Without `server` only the table is asked.
 */
export async function checkHistory(connection: OpenConnection, stream: StreamRead, state: ReadState, server: Company | null): Promise<void> {
  const cursor = cursorOf(stream);
  const was = state.cursor;
  const same = was !== null && was.name === cursor.name && was.family === cursorFamily(cursor) && was.fraction <= fractionDigits(cursor);
  if (!same || JSON.stringify(state.key) !== JSON.stringify(stream.key)) {
    throw new TidemarkError('source.schema_changed', `Cursor or key of ${tableName(stream)} is not what the position was taken with.`, {
      hint: 'Positions of another column or a narrower type can\'t be compared. Reset the stream to build it anew.',
    });
  }
  const mark = await readMark(connection, stream);
  if (hasRewound(mark, stream, state)) throw lost(`The counter of ${tableName(stream)} has gone back below the watermark: truncated, or restored from a backup.`);
  await requireSameHistory(connection, stream, state, mark, server);
}

/** The watermark for people: ISO 8601, with Z where the column has a zone. */
export function displayOf(stream: StreamRead, value: string | null): string | null {
  if (value === null || stream.cursor === null) return null;
  const cursor = cursorOf(stream);
  if (cursor.order !== 'time') return value;
  return value.replace(' ', 'T') + (baseType(cursor) === 'timestamp' ? 'Z' : '');
}

export function positionOf(server: string, stream: StreamRead, state: ReadState, shown: string | null): Position {
  return { server, table: tableName(stream), display: displayOf(stream, shown), state };
}
