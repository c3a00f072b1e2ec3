/**
 * What the server says of its transactions, in two steps whose order matters.
 *
 * {@link readBefore} runs first, on its own: the clock, the highest cursor (in its own snapshot, taken before anything
 * else) and then who is in a transaction. {@link readSnapshot} follows in the snapshot that the rows are read in. A
 * transaction that is not visible there was either seen open by the first step, or it began after it: then its clock
 * and its sequence numbers are not below what the first step read.
 */
import type { StreamRead } from '../connector.ts';
import type { PostgresClient } from './client.ts';
import { quoteText } from './names.ts';
import { historyLost, type Mark } from './position.ts';
import { literal, type OrderedColumn, type Relation } from './relation.ts';
import { lastRows, parseLastRows } from './witness.ts';
import { TidemarkError } from '../../schemas/errors.ts';

/** Counting stops here: at so many rows outside the order the table is looked through in each run. */
export const OUTSIDE_ROWS_MAX = 100_000;
/** Reads compare transaction ids of 32 bits; beyond half their range a position can't be compared any more. */
const XID_REACH = 2n ** 31n - 2n ** 24n;
/** Transaction ids that a crash may hand out a second time: far more than are begun between two flushes of the log. */
const XIDS_LOST_MAX = 100_000n;
/** Types with values that have no place in an order that grows: infinity, and NaN beyond it. */
const UNBOUNDED_BASES = new Set(['numeric', 'float4', 'float8']);

export interface Before {
  /** Microseconds since 1970 by the source's clock. */
  readonly at: string;
  /** The clock as a value of the cursor's type; null for cursors that don't follow a clock. */
  readonly clock: string | null;
  /** Cursor values beyond this are future rows; null: no such limit. */
  readonly fence: string | null;
  readonly top: string | null;
  readonly open: boolean;
  /** Sessions of others hide whether they are in a transaction. */
  readonly hidden: boolean;
  /** When the oldest open transaction that is visible began, microseconds; 0 where that can't be told, null where there is none. */
  readonly oldest: string | null;
}

export interface Snapshot {
  readonly asOf: string;
  /** The clock in microseconds since 1970. */
  readonly at: string;
  /** `xmin:xmax:xip,...` */
  readonly text: string;
  /** Transactions below this one were complete, or are of other databases; as are those below it that still run. */
  readonly since: string;
  /** Transactions that may write here were in progress. */
  readonly openXids: boolean;
  readonly started: string;
  readonly wal: string;
  readonly timeline: string | null;
  readonly standby: boolean;
}

export interface Bounds {
  readonly top: string | null;
  /** `[cursor, xmin, key...]` of the last rows. */
  readonly last: string[][];
  readonly low: string | null;
  readonly futureRows: number;
  /** Rows that {@link outsideOrder} takes, up to {@link OUTSIDE_ROWS_MAX}. */
  readonly outsideRows: string;
}

/** The snapshot's xmin, where transactions from it on may be in progress. */
function oldestOf(snapshot: string): string | null {
  const [xmin = '0', xmax = '0'] = snapshot.split(':');
  return xmin === xmax ? null : xmin;
}

const xmaxOf = (snapshot: string): bigint => BigInt(snapshot.split(':')[1] ?? '0');

const microseconds = (time: string): string => `(extract(epoch FROM ${time}) * 1000000)::int8`;

export async function readBefore(client: PostgresClient, relation: Relation, stream: StreamRead): Promise<Before> {
  const clock = clockOf(relation.order, client.server.timezone);
  const fence = fenceOf(relation.order, client.server.timezone, stream.futureLimitSeconds);
  const limits = await client.row(relation.where, `SELECT ${microseconds('clock_timestamp()')} AS at, (${clock})::text AS clock, (${fence})::text AS fence`);
  const top = relation.order === null ? 'NULL' : topOf(relation, relation.order, limits.fence ?? null);
  // The statement's own snapshot, which `top` is read in, is older than any look at the sessions below.
  const row = await client.row(relation.where, `SELECT ${top} AS top, ${ACTIVITY}`, [client.applicationName]);
  return {
    at: limits.at ?? '0',
    clock: limits.clock ?? null,
    fence: limits.fence ?? null,
    top: row.top ?? null,
    open: row.standby === 't' || row.prepared === 't' || row.oldest !== null || row.hidden === 't',
    hidden: row.hidden === 't' || row.standby === 't',
    // A prepared transaction tells when it was prepared, not when it began.
    oldest: row.prepared === 't' ? '0' : (row.oldest ?? null),
  };
}

/** Sessions of Tidemark itself for this source only read. The text of a session's query tells whether the rest of its row is hidden. */
const ACTIVITY = `pg_is_in_recovery() AS standby,
  EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database()) AS prepared, a.oldest, coalesce(a.hidden, false) AS hidden
  FROM (SELECT ${microseconds("min(xact_start) FILTER (WHERE coalesce(backend_type, '') NOT IN ('autovacuum worker', 'walsender'))")} AS oldest,
      bool_or(query = '<insufficient privilege>' OR state = 'disabled') AS hidden
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND (usename = current_user AND application_name = $1) IS NOT TRUE) a`;

/** The oldest transaction in progress that is not known to be of another database; a backend never changes its database. */
const OLDEST_HERE = (prefix: string): string => `(SELECT min(x::text::int8) FROM ${prefix}_snapshot_xip(s.snapshot) x
    WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname <> current_database() AND backend_xid::text::int8 = x::text::int8 % 4294967296)
      AND NOT EXISTS (SELECT FROM pg_prepared_xacts WHERE database <> current_database() AND transaction::text::int8 = x::text::int8 % 4294967296))`;

/** The snapshot of the transaction it runs in. */
export async function readSnapshot(client: PostgresClient, where: string): Promise<Snapshot> {
  const [prefix, current] = client.server.version >= 130_000 ? ['pg', 'pg_current_snapshot()'] : ['txid', 'txid_current_snapshot()'];
  const row = await client.row(where, `SELECT snapshot, ${OLDEST_HERE(prefix ?? '')} AS oldest,
    to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS as_of, ${microseconds('clock_timestamp()')} AS at, pg_is_in_recovery() AS standby,
    pg_postmaster_start_time() || coalesce('/' || (SELECT min(backend_start) FROM pg_stat_activity WHERE backend_type = 'checkpointer'), '') AS started,
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0' AS wal,
    CASE WHEN pg_is_in_recovery() THEN (SELECT lpad(upper(to_hex(timeline_id)), 8, '0') FROM pg_control_checkpoint()) ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline
    FROM (SELECT ${current} AS snapshot) s`);
  const text = row.snapshot ?? '';
  const standby = row.standby === 't';
  // A snapshot of a standby does not list the transactions in progress, only the oldest of them.
  const oldest = standby ? oldestOf(text) : (row.oldest ?? null);
  return { asOf: row.as_of ?? '', at: row.at ?? '0', text, since: oldest ?? xmaxOf(text).toString(), openXids: oldest !== null, started: row.started ?? '', wal: row.wal ?? '0', timeline: row.timeline ?? null, standby };
}

/** Upper bound of a run that starts in this snapshot, and the lower bound of the next one. */
export async function readBounds(client: PostgresClient, relation: Relation, order: OrderedColumn, stream: StreamRead, before: Before): Promise<Bounds> {
  const row = await client.row(relation.where, `SELECT ${lastRows(relation, order, withinFence(order, before.fence))} AS last,
    ${countOf(relation, beyondFence(order, before.fence) ?? 'false')} AS future, ${countOf(relation, outsideOrder(order, before.fence))} AS outside`);
  const last = parseLastRows(row.last);
  const top = last[0]?.[0] ?? null;
  const low = before.clock !== null && top !== null ? await overlapped(client, relation, order, stream, before, top) : before.top;
  return { top, last, low, futureRows: Number(row.future), outsideRows: row.outside ?? '0' };
}

/** The later of two values in the cursor's own order. */
export async function laterOf(client: PostgresClient, relation: Relation, order: OrderedColumn, a: string | null, b: string): Promise<string> {
  if (a === null || a === b) return b;
  const collated = order.sql.endsWith('COLLATE "C"') ? ' COLLATE "C"' : '';
  const row = await client.row(relation.where, `SELECT greatest(${literal(order, a)}${collated}, ${literal(order, b)}${collated})::text AS later`);
  return row.later ?? b;
}

/** A count as an SQL expression that stops at {@link OUTSIDE_ROWS_MAX}. */
export function countOf(relation: Relation, condition: string): string {
  return `(SELECT count(*) FROM (SELECT FROM ${relation.from} WHERE ${condition} LIMIT ${OUTSIDE_ROWS_MAX}) f)`;
}

/** Rows that have no place between bounds: without a cursor, beyond the fence, below everything. */
export function outsideOrder(order: OrderedColumn, fence: string | null): string {
  return outsideConditions(order, fence).join(' OR ');
}

export function outsideConditions(order: OrderedColumn, fence: string | null): readonly string[] {
  return [`${order.sql} IS NULL`, beyondFence(order, fence), belowAll(order)].filter((part) => part !== null);
}

/** Rows within the fence: the condition that both the bound and the read use. */
function withinFence(order: OrderedColumn, fence: string | null): string {
  if (fence !== null) return `${order.sql} <= ${literal(order, fence)}`;
  return UNBOUNDED_BASES.has(order.base) ? `${order.sql} < ${literal(order, order.infinite ? 'Infinity' : 'NaN')}` : `${order.sql} IS NOT NULL`;
}

/** The opposite of {@link withinFence} among rows with a cursor; null where no value is beyond. */
function beyondFence(order: OrderedColumn, fence: string | null): string | null {
  if (fence !== null) return `${order.sql} > ${literal(order, fence)}`;
  return UNBOUNDED_BASES.has(order.base) ? `${order.sql} >= ${literal(order, order.infinite ? 'Infinity' : 'NaN')}` : null;
}

/** Rows below every bound, whenever they are written; null where the type has no such value. */
function belowAll(order: OrderedColumn): string | null {
  return order.infinite ? `${order.sql} = ${literal(order, '-infinity')}` : null;
}

function topOf(relation: Relation, order: OrderedColumn, fence: string | null): string {
  return `(SELECT (${order.sql})::text FROM ${relation.from} WHERE ${withinFence(order, fence)} ORDER BY ${order.sql} DESC LIMIT 1)`;
}

/** A column without time zone follows the clock of the zone that the server is set to. */
function clockOf(order: OrderedColumn | null, zone: string, now = 'clock_timestamp()'): string {
  if (order?.base === 'timestamptz') return now;
  if (order?.base === 'timestamp') return `${now} AT TIME ZONE ${quoteText(zone)}`;
  if (order?.base === 'date') return `(${now} AT TIME ZONE ${quoteText(zone)})::date`;
  return 'NULL';
}

function fenceOf(order: OrderedColumn | null, zone: string, limitSeconds: number): string {
  const limit = `interval '${limitSeconds} seconds'`;
  if (order?.base === 'timestamptz') return `clock_timestamp() + ${limit}`;
  const latest = `greatest(clock_timestamp() AT TIME ZONE 'UTC', clock_timestamp() AT TIME ZONE ${quoteText(zone)}) + ${limit}`;
  if (order?.base === 'timestamp') return latest;
  return order?.base === 'date' ? `(${latest})::date` : 'NULL';
}

/**
 * `min(top, clock) - overlap`: a client may take its time stamp before it begins, and its clock may run ahead. Without row
 * versions also not above the time when the oldest open transaction began.
 */
async function overlapped(client: PostgresClient, relation: Relation, order: OrderedColumn, stream: StreamRead, before: Before, top: string): Promise<string> {
  const limits = [literal(order, top), literal(order, before.clock ?? top)];
  if (!relation.hasXmin && before.oldest !== null) limits.push(clockOf(order, client.server.timezone, `to_timestamp(${BigInt(before.oldest)} / 1000000.0)`));
  const least = `least(${limits.join(', ')})`;
  const row = await client.row(relation.where, `SELECT (CASE WHEN isfinite(${least}) AND ${least} > ${literal(order, '4000-01-01 BC')}
    THEN (${least} - interval '${stream.overlapSeconds} seconds')::${order.cast} ELSE ${literal(order, '-infinity')} END)::text AS low`);
  return row.low ?? top;
}

/** How far a mark can be trusted on this server now. */
export interface Trust {
  /** Rows of transactions from this one on are new; null: any row may be. */
  readonly since: bigint | null;
  readonly scannedSince: bigint | null;
  /** The server restarted: look at the whole table once. */
  readonly restarted: boolean;
  /** Another timeline took over. */
  readonly forked: boolean;
}

/**
 * Throws `source.history_lost` where the source has gone back behind the mark, `source.replica_behind` on a standby that
 * has not come as far yet.
 */
export function trustMark(mark: Mark, snapshot: Snapshot, where: string): Trust {
  const now = xmaxOf(snapshot.text);
  if (xmaxOf(mark.snapshot) > now || BigInt(mark.wal) > BigInt(snapshot.wal)) {
    if (snapshot.standby) {
      throw new TidemarkError('source.replica_behind', `${where}: this standby has not come as far yet as the last read.`, { hint: 'It is read as soon as it has caught up; check the replication lag.' });
    }
    throw historyLost(`${where}: the source has gone back in time: it was restored, or a copy of it took over.`);
  }
  // Another timeline may have handed out the same transaction ids for other rows.
  const forked = mark.timeline !== null && snapshot.timeline !== null && mark.timeline !== snapshot.timeline;
  const restarted = mark.started !== snapshot.started;
  const reach = (since: bigint): bigint | null => {
    const from = restarted ? since - XIDS_LOST_MAX : since;
    return forked || now - from > XID_REACH ? null : from < 3n ? 3n : from;
  };
  return { since: reach(BigInt(mark.since)), scannedSince: reach(BigInt(mark.scanned.since)), restarted, forked };
}
