/**
 * Where a run begins and ends.
 *
 * Before the snapshot that rows are read from, three questions in this order: the highest cursor value, which transactions are
 * open, which statements run. A row that the snapshot does not show belongs to a transaction of the second answer, a statement
 * of the third, or to one that began later and so writes no value below the first. The next run begins at that value, or, where
 * something was open, at the value that was the highest before the oldest of it began.
 */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Guarantee } from '../../schemas/position.ts';
import type { StreamRead } from '../connector.ts';
import type { OracleClient } from './client.ts';
import { clock, isoClock, UTC_NOW } from './clock.ts';
import { clockAs, isTime, orderColumn, ROW_SCN, type OrderColumn } from './columns.ts';
import { extendTrail, reachBack, type OracleState, type TidePoint } from './position.ts';
import type { ServerIdentity } from './identity.ts';
import type { OpenWork, OracleServer } from './server.ts';
import { Binds, type Statement } from './binds.ts';
import type { Snapshot } from './snapshot.ts';
import { from, fromAt, where } from './statement.ts';

/** Seconds by which a statement may have begun earlier than the server's whole seconds say. */
const CLOCK_GRAIN_SECONDS = 2;

/** What is known before the snapshot of a run's first batch is taken. */
export interface LowTide {
  readonly identity: ServerIdentity;
  /** Of the state that the run leaves behind. */
  readonly lower: string | null;
  readonly trail: readonly TidePoint[];
  readonly guarantee: Guarantee;
  /** Time cursors: values beyond this text are future rows. */
  readonly fence: string | null;
}

export function cursorOf(stream: StreamRead): OrderColumn | null {
  return stream.cursor === null ? null : orderColumn(stream.table, stream.cursor);
}

const tableName = (stream: StreamRead): string => `table ${stream.table.schema}.${stream.table.name}`;

/** Asks the three questions. `before` is the state of the last run, null before the first. */
export async function lowTide(client: OracleClient, server: OracleServer, stream: StreamRead, before: OracleState | null): Promise<LowTide> {
  const cursor = cursorOf(stream);
  const blind = (await server.blindness()) !== null;
  const guarantee: Guarantee = cursor === null ? 'full refresh' : blind ? `within ${stream.overlapSeconds}s` : 'exact';
  if (cursor?.name === ROW_SCN) return rowScnTide(server, stream, before);
  const lower = before?.lower ?? null;
  const [now, ago, cap, fence] = await client.texts(clocks(cursor, stream), 'the server');
  const [highest = null, high = null] = cursor === null ? [] : await client.texts(highestValue(stream, cursor, lower, cap ?? null, blind), tableName(stream));
  const identity = await server.identity();
  const bound = highest ?? lower;
  const trail = extendTrail(before?.trail ?? [], { scn: identity.scn, clock: now ?? '', bound });
  const tide = { identity, trail, guarantee, fence: fence ?? null };
  if (blind && cursor !== null && isTime(cursor.kind)) return { ...tide, lower: high ?? lower };
  if (blind) return { ...tide, lower: reachBack(trail, { oldestScn: null, oldestClock: ago ?? null })?.bound ?? null };
  const open = await server.openWork();
  const point = reachBack(trail, { oldestScn: open.oldestScn, oldestClock: await runningSince(client, open) });
  return { ...tide, lower: point === null && cursor !== null ? lowestSince(cursor, open, bound) : (point?.bound ?? null) };
}

/**
 * ORA_ROWSCN rises with every commit and is never below the commit of the row's last change, so what a snapshot does not show
 * lies above the SCN before it: no open transaction need be looked for.
 */
async function rowScnTide(server: OracleServer, stream: StreamRead, before: OracleState | null): Promise<LowTide> {
  const identity = await server.identity();
  if (identity.scn !== null) return { identity, lower: identity.scn, trail: before?.trail ?? [], guarantee: 'exact', fence: null };
  throw new TidemarkError('source.cursor_unusable', `${tableName(stream)}: the cursor ${ROW_SCN} needs the server's current SCN.`, { hint: 'Grant SELECT on V_$DATABASE, or choose another cursor.' });
}

/** Now; the overlap ago; the clock and the clock + future limit as values of the cursor (null unless it follows a clock). */
function clocks(cursor: OrderColumn | null, stream: StreamRead): Statement {
  const binds = new Binds();
  const seconds = (count: number): string => `NUMTODSINTERVAL(TO_NUMBER(${binds.add(String(count))}), 'SECOND')`;
  const asCursor = (later: number): string => {
    if (cursor === null || !isTime(cursor.kind)) return 'NULL';
    const moment = `${clockAs(cursor.kind)} + ${seconds(later)}`;
    return cursor.text(cursor.kind === 'timestampltz' ? `CAST(${moment} AS TIMESTAMP(9) WITH LOCAL TIME ZONE)` : moment);
  };
  return binds.statement(`SELECT ${isoClock(UTC_NOW)}, ${isoClock(`${UTC_NOW} - ${seconds(stream.overlapSeconds)}`)}, ${asCursor(0)}, ${asCursor(stream.futureLimitSeconds)} FROM DUAL`);
}

/** The highest value at or above `lower` that is not ahead of the clock; and the same less the overlap, where that is needed. */
function highestValue(stream: StreamRead, cursor: OrderColumn, lower: string | null, cap: string | null, blind: boolean): Statement {
  const binds = new Binds();
  const highest = `MAX(${cursor.compared})`;
  const overlapped = blind && isTime(cursor.kind) ? cursor.text(`${highest} - NUMTODSINTERVAL(TO_NUMBER(${binds.add(String(stream.overlapSeconds))}), 'SECOND')`) : 'NULL';
  return binds.statement(`SELECT ${cursor.text(highest)}, ${overlapped} ${from(stream.table)}${where(closedInterval(binds, cursor, lower, cap))}`);
}

/** Conditions of a closed interval of cursor values; a missing bound is open. */
export function closedInterval(binds: Binds, cursor: OrderColumn, lower: string | null, upper: string | null): readonly (string | null)[] {
  return [
    lower === null ? null : `${cursor.compared} >= ${cursor.bound(binds, lower)}`,
    upper === null ? null : `${cursor.compared} <= ${cursor.bound(binds, upper)}`,
  ];
}

async function runningSince(client: OracleClient, open: OpenWork): Promise<string | null> {
  if (open.runningSeconds === null) return null;
  const binds = new Binds();
  const age = binds.add(String(open.runningSeconds + CLOCK_GRAIN_SECONDS));
  const [since = null] = await client.texts(binds.statement(`SELECT ${isoClock(`${UTC_NOW} - NUMTODSINTERVAL(TO_NUMBER(${age}), 'SECOND')`)} FROM DUAL`), 'the server');
  return since;
}

/**
 * Without a point that lies before all that is under way: a cursor that follows a clock has no value of it from before it
 * began, whatever the zone. Null (from the first row) for other cursors.
 */
function lowestSince(cursor: OrderColumn, open: OpenWork, highest: string | null): string | null {
  const begun = [open.oldestDate, open.runningDate].filter((date) => date !== null).map((date) => (cursor.kind === 'date' ? date : `${date}.000000000`));
  if (!isTime(cursor.kind) || highest === null || begun.length === 0) return null;
  // Texts of one format without a sign compare like the moments they stand for.
  const texts = [highest, ...begun].sort();
  return texts.some((text) => text.startsWith('-') || text.length !== highest.length) ? null : (texts[0] ?? null);
}

/** The bound of a run, seen in its own snapshot. */
export interface HighTide {
  /** Highest cursor value within the fence; null where no row lies at or above the run's begin. */
  readonly bound: string | null;
  readonly futureRows: number;
  readonly asOf: string;
}

/** Asked in the snapshot that the rows are then read from. `lower` is where this run begins. */
export async function highTide(client: OracleClient, snapshot: Snapshot, stream: StreamRead, cursor: OrderColumn, lower: string | null, fence: string | null): Promise<HighTide> {
  if (cursor.name === ROW_SCN) return { bound: null, futureRows: 0, asOf: await clock(client) };
  const binds = new Binds();
  const table = fromAt(binds, stream.table, snapshot);
  const bound = `(SELECT ${cursor.text(`MAX(${cursor.compared})`)} ${table}${where(closedInterval(binds, cursor, lower, fence))})`;
  const future = fence === null ? '0' : `(SELECT COUNT(*) ${table} WHERE ${cursor.compared} > ${cursor.bound(binds, fence)})`;
  const sql = `SELECT ${bound}, ${future}, ${isoClock(UTC_NOW)} FROM DUAL`;
  const [highest = null, futureRows = null, asOf = null] = await client.texts(binds.statement(sql), tableName(stream));
  return { bound: highest, futureRows: Number(futureRows ?? '0'), asOf: snapshot.asOf ?? asOf ?? '' };
}
