/** One batch of an incremental read: (cursor, key) keyset paging up to a bound that the run's first snapshot froze. */
import type { Column } from '../../schemas/table.ts';
import type { Position } from '../../schemas/position.ts';
import type { BatchLimits, IncrementalRead, StreamRead } from '../connector.ts';
import { futureRows, takeBounds } from './bounds.ts';
import { compareExpression, cursorOf, literal } from './columns.ts';
import type { OpenConnection } from './connection.ts';
import { parsePosition, type ReadState } from './position-state.ts';
import { quoteTable } from './quoting.ts';
import { after, beginSnapshot, fromAny, keyColumns, orderBy, placedRows, selectRows, textList, unplacedRows, upTo } from './range.ts';
import { rowsOf, type Source } from './source.ts';
import { checkHistory, positionOf, stateOf, tableName } from './watermark.ts';

interface Cut {
  /** Rows of the batch; null where there can be none. */
  readonly where: string | null;
  /** Where the next batch of this run begins; null: this one reaches the bound. */
  readonly at: { readonly cursor: string; readonly key: readonly string[] } | null;
}

function notBeyond(cursor: Column, bound: string): string {
  return `${placedRows(cursor)} AND ${compareExpression(cursor)} <= ${literal(cursor, bound)}`;
}

/** Cuts at the row `rowsMax` of the range; rows of a keyless table that share a cursor value stay together. */
async function cutBatch(connection: OpenConnection, stream: StreamRead, from: string, bound: string | null, rowsMax: number): Promise<Cut> {
  if (bound === null) return { where: null, at: null };
  const cursor = cursorOf(stream);
  const columns = [cursor, ...keyColumns(stream)];
  const range = `${from} AND ${notBeyond(cursor, bound)}`;
  const ends = await connection.query(
    `SELECT ${textList(columns)} FROM ${quoteTable(stream.table)} WHERE ${range} ${orderBy(columns)} LIMIT 2 OFFSET ${rowsMax - 1}`,
    tableName(stream),
  );
  const [last, next] = ends.map((row) => row.map((value) => value ?? ''));
  if (last === undefined || next === undefined) return { where: range, at: null };
  const [value = '', ...key] = last;
  return { where: `${range} AND ${upTo(columns, last)}`, at: { cursor: value, key } };
}

async function countRows(connection: OpenConnection, stream: StreamRead, where: string): Promise<number> {
  const [row] = await connection.query(`SELECT COUNT(*) FROM ${quoteTable(stream.table)} WHERE ${where}`, tableName(stream));
  return Number(row?.[0] ?? '0');
}

async function firstBatch(source: Source, stream: StreamRead, state: ReadState | null, limits: BatchLimits): Promise<IncrementalRead> {
  const { connection } = source;
  const cursor = cursorOf(stream);
  const bounds = await takeBounds(connection, await source.ground(stream.table), stream, state);
  const next = await stateOf(connection, stream, bounds, state);
  const cut = await cutBatch(connection, stream, fromAny(cursor, bounds.from), bounds.bound, limits.rowsMax);
  const unplaced = unplacedRows(cursor);
  const future = bounds.fence === null ? null : futureRows(cursor, bounds.fence);
  const wheres = [cut.where, unplaced, future].filter((where) => where !== null);
  const to: ReadState = cut.at === null ? next : { ...next, run: { bound: bounds.bound, at: { cursor: cut.at.cursor, key: [...cut.at.key] } } };
  return {
    ...rowsOf(source, stream, wheres.map((where) => selectRows(stream, where))),
    to: positionOf(await source.identity(), stream, to, cut.at?.cursor ?? next.bound),
    more: cut.at !== null,
    guarantee: bounds.guarantee,
    futureRows: future === null ? 0 : await countRows(connection, stream, future),
    asOf: isoClock(bounds.clock),
  };
}

/** A run that is under way: the next rows up to its bound, in a snapshot of their own. */
async function laterBatch(source: Source, stream: StreamRead, state: ReadState, run: NonNullable<ReadState['run']>, limits: BatchLimits): Promise<IncrementalRead> {
  const { connection } = source;
  const cursor = cursorOf(stream);
  await beginSnapshot(connection, tableName(stream));
  const asOf = await readAsOf(connection);
  const columns = [cursor, ...keyColumns(stream)];
  const cut = await cutBatch(connection, stream, after(columns, [run.at.cursor, ...run.at.key]), run.bound, limits.rowsMax);
  const to: ReadState = { ...state, run: cut.at === null ? null : { bound: run.bound, at: { cursor: cut.at.cursor, key: [...cut.at.key] } } };
  return {
    ...rowsOf(source, stream, cut.where === null ? [] : [selectRows(stream, cut.where)]),
    to: positionOf(await source.identity(), stream, to, cut.at?.cursor ?? state.bound),
    more: cut.at !== null,
    guarantee: await source.guarantee(stream),
    futureRows: 0,
    asOf,
  };
}

/** The server's clock, ISO 8601: asked right after a snapshot began, it tells what that one shows. */
export async function readAsOf(connection: OpenConnection): Promise<string> {
  const [clock] = await connection.query('SELECT UTC_TIMESTAMP(6)', 'the clock');
  return isoClock(clock?.[0] ?? '');
}

export function isoClock(clock: string): string {
  return `${clock.replace(' ', 'T')}Z`;
}

export async function readIncremental(source: Source, stream: StreamRead, position: Position | null, limits: BatchLimits): Promise<IncrementalRead> {
  const state = position === null ? null : parsePosition(position, await source.identity(), tableName(stream));
  if (state !== null) await checkHistory(source.connection, stream, state, { alone: async () => !(await source.ground(stream.table)).sight.replica });
  if (state === null || state.run === null) return firstBatch(source, stream, state, limits);
  return laterBatch(source, stream, state, state.run, limits);
}
