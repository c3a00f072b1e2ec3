/** Where a run ends and where the next one has to begin, from the source's clock, its rows and its open transactions. */
import type { Column } from '../../schemas/table.ts';
import type { Guarantee } from '../../schemas/position.ts';
import type { StreamRead } from '../connector.ts';
import { compareExpression, cursorOf, literal, textExpression } from './columns.ts';
import type { OpenConnection } from './connection.ts';
import { compareOpen, readOpenTransactions, type OpenTransaction } from './open-transactions.ts';
import { addHistory, boundBefore, earlierClock, type ReadState } from './position-state.ts';
import { quoteTable } from './quoting.ts';
import { beginSnapshot, placedRows } from './range.ts';
import type { Sight } from './server.ts';
import { baseType } from './types.ts';

/** What decides how strong the promise is. */
export interface Ground {
  readonly sight: Sight;
  /** Null for a view. */
  readonly engine: string | null;
}

/** Transactions of InnoDB tables on a server that nobody else writes through: the only case where all can be seen. */
export function isExact(ground: Ground): boolean {
  return ground.engine === 'InnoDB' && ground.sight.transactions && !ground.sight.replica;
}

interface Clock {
  /** UTC. */
  readonly now: string;
  /** The same instant as the cursor column would have it, and the instant beyond which a row counts as future; null for other cursors. */
  readonly cursorNow: string | null;
  readonly fence: string | null;
}

/** DATETIME has no zone: the later of UTC and the server's own is taken, so that neither convention makes rows of now future ones. */
async function readClock(connection: OpenConnection, stream: StreamRead, cursor: Column): Promise<Clock> {
  const local = "COALESCE(CONVERT_TZ(UTC_TIMESTAMP(6),'+00:00',@@global.time_zone),UTC_TIMESTAMP(6))";
  const now = baseType(cursor) === 'timestamp' ? 'UTC_TIMESTAMP(6)' : `GREATEST(UTC_TIMESTAMP(6),${local})`;
  const fence = `CAST(${now} + INTERVAL ${stream.futureLimitSeconds} SECOND AS DATETIME(6))`;
  const [row] = await connection.query(`SELECT UTC_TIMESTAMP(6), ${now}, ${fence}`, 'the clock');
  const isTime = cursor.order === 'time';
  return { now: row?.[0] ?? '', cursorNow: isTime ? (row?.[1] ?? null) : null, fence: isTime ? (row?.[2] ?? null) : null };
}

/** Rows that count for the watermark. */
function withinFence(cursor: Column, fence: string | null): string {
  const placed = placedRows(cursor);
  return fence === null ? placed : `${placed} AND ${compareExpression(cursor)} <= ${literal(cursor, fence)}`;
}

export function futureRows(cursor: Column, fence: string): string {
  return `${compareExpression(cursor)} > ${literal(cursor, fence)}`;
}

/** The largest cursor value as text. By its row: MAX() of an enum or of a text could be of another row's spelling. */
async function readMax(connection: OpenConnection, stream: StreamRead, cursor: Column, where: string): Promise<string | null> {
  const [row] = await connection.query(
    `SELECT ${textExpression(cursor)} FROM ${quoteTable(stream.table)} WHERE ${where} ORDER BY ${compareExpression(cursor)} DESC LIMIT 1`,
    stream.table.name,
  );
  return row?.[0] ?? null;
}

async function isLess(connection: OpenConnection, cursor: Column, left: string, right: string): Promise<boolean> {
  const [row] = await connection.query(`SELECT ${literal(cursor, left)} < ${literal(cursor, right)}`, 'a comparison');
  return row?.[0] === '1';
}

export interface RunBounds {
  /** UTC clock of the snapshot that is open now. */
  readonly clock: string;
  /** Largest cursor value within the fence; null where there is none. */
  readonly bound: string | null;
  readonly fence: string | null;
  /** Largest of all, future rows included. */
  readonly max: string | null;
  /** Where this run begins; null: at the first row. */
  readonly from: readonly string[] | null;
  /** For the position that this run ends with. */
  readonly history: ReadState['history'];
  readonly open: ReadState['open'];
  readonly lower: readonly string[] | null;
  readonly guarantee: Guarantee;
}

function joined(lists: readonly (readonly string[] | null)[]): readonly string[] | null {
  return lists.reduce((all, list) => (all === null || list === null ? null : [...all, ...list]), [] as readonly string[]);
}

const one = (bound: string | null): readonly string[] | null => (bound === null ? null : [bound]);

/** Where rows of transactions may begin that are up to `overlapSeconds` old. */
async function overlapped(connection: OpenConnection, stream: StreamRead, cursor: Column, entry: readonly [string, string | null], history: ReadState['history']): Promise<readonly string[] | null> {
  const [clock, bound] = entry;
  if (cursor.order !== 'time') return one(boundBefore(history, earlierClock(clock, stream.overlapSeconds)));
  if (bound === null) return null;
  const digits = baseType(cursor) === 'date' ? 'DATE' : 'DATETIME(6)';
  const [row] = await connection.query(`SELECT CAST(CAST(${literal(cursor, bound)} AS DATETIME(6)) - INTERVAL ${stream.overlapSeconds} SECOND AS ${digits})`, 'the clock');
  return one(row?.[0] ?? null);
}

/**
 * Leaves a snapshot open from which bound and rows are read.
 *
 * Order matters. (1) clock and largest value, (2) who is open, (3) the snapshot. Whoever is not seen at (2) and not in the snapshot began
 * after (1), draws later values than (1) saw, and is caught by beginning the next run at the value of (1). That value is no later than
 * the clock, so that a row dated ahead does not hide those that follow it.
 */
export async function takeBounds(connection: OpenConnection, ground: Ground, stream: StreamRead, state: ReadState | null): Promise<RunBounds> {
  const cursor = cursorOf(stream);
  const exact = isExact(ground);
  await connection.query('COMMIT', stream.table.name);
  const before = await readClock(connection, stream, cursor);
  const seen = await readMax(connection, stream, cursor, withinFence(cursor, before.fence));
  const now = ground.sight.transactions ? await readOpenTransactions(connection) : [];
  const ahead = seen !== null && before.cursorNow !== null && await isLess(connection, cursor, before.cursorNow, seen);
  const entry = [before.now, ahead ? before.cursorNow : seen] as const;

  await beginSnapshot(connection, stream.table.name);
  const clock = await readClock(connection, stream, cursor);
  const bound = await readMax(connection, stream, cursor, withinFence(cursor, clock.fence));
  const max = await readMax(connection, stream, cursor, placedRows(cursor));

  const remembered: readonly OpenTransaction[] = state?.open ?? [];
  const compared = compareOpen(remembered, now ?? [], state?.history.at(-1)?.[0] ?? null);
  const history = addHistory(state?.history ?? [], entry);
  const reached = compared.ended.map((each) => one(boundBefore(state?.history ?? [], each.start)));
  const safe = exact && now !== null;
  return {
    clock: clock.now,
    bound,
    fence: clock.fence,
    max,
    from: state === null ? null : joined([state.lower, ...reached]),
    history,
    open: [...compared.open],
    lower: joined([one(entry[1]), ...(safe ? [] : [await overlapped(connection, stream, cursor, entry, history)])]),
    guarantee: safe ? 'exact' : `within ${stream.overlapSeconds}s`,
  };
}
