/** What a run has to read, from what the last one left behind. */
import type { PostgresClient } from './client.ts';
import type { Mark } from './position.ts';
import { grows, type Relation } from './relation.ts';
import { newRows, passedOver } from './range.ts';
import { requireWitnesses } from './witness.ts';
import { countOf, OUTSIDE_ROWS_MAX, outsideOrder, type Snapshot, trustMark } from './snapshot.ts';

/** Tables up to this size are looked through whole in each run that follows a write anywhere on the server: some 50 ms. */
const SMALL_TABLE_BYTES = 32 * 1024 * 1024;
/** A larger table whose cursor is trusted is looked through at times: at most this share of the time. */
const SCAN_BYTES_PER_MICROSECOND = 200;
const SCAN_TIME_SHARE = 20;
const SCAN_PAUSE_MIN_MICROSECONDS = 60_000_000;

export interface RunStart {
  readonly since: bigint | null;
  readonly low: string | null;
  readonly fresh: readonly string[];
  /** Condition that finds every row not read so far, wherever it is; null: new rows are only looked for from `low` on. */
  readonly anywhere: string | null;
}

/** What a run that starts from a mark has to read, in the snapshot that is open. Throws `source.history_lost`. */
export async function startOf(client: PostgresClient, base: Mark | null, snapshot: Snapshot, relation: Relation): Promise<RunStart> {
  const everything: RunStart = { since: null, low: null, fresh: [], anywhere: null };
  if (base === null) return everything;
  const trust = trustMark(base, snapshot, relation.where);
  await requireWitnesses(client, relation, base, trust);
  if (trust.since === null || trust.scannedSince === null || base.versions !== relation.hasXmin) return everything;
  if (!relation.hasXmin) return { ...everything, low: base.low };
  const known = new Set(base.leaves.split(','));
  const fresh = relation.leaves.split(',').filter((oid) => oid !== '' && !known.has(oid));
  // The mark's own run looked through the whole table, or read it whole, and nothing was written since.
  const isKnown = base.scanned.runs.length === 0 && seesTheSame(base, snapshot);
  const scan =
    !isKnown &&
    (base.open || trust.restarted || fresh.length > 0 || alwaysScanned(relation) || scanDue(base, relation.bytes, snapshot.at) || (await outsideChanged(client, relation, base, trust.since)));
  return { since: trust.since, low: base.low, fresh, anywhere: scan ? anywhere(relation, base, trust.since, trust.scannedSince, fresh, trust.restarted) : null };
}

/**
 * Equal snapshots see equal rows: no transaction, not even one that changes a table's definition, was begun or ended between them. A standby's snapshot does
 * not list what is in progress, so there the log has to be at the same place too.
 */
export function seesTheSame(mark: Pick<Mark, 'snapshot' | 'started' | 'timeline' | 'wal'>, snapshot: Snapshot): boolean {
  if (snapshot.standby && mark.wal !== snapshot.wal) return false;
  return mark.snapshot === snapshot.text && mark.started === snapshot.started && mark.timeline === snapshot.timeline;
}

/** After a restart ids may have been handed out again, and what past runs read says nothing of their rows. */
function anywhere(relation: Relation, base: Mark, since: bigint, scannedSince: bigint, fresh: readonly string[], restarted: boolean): string {
  if (restarted || relation.order === null) return newRows(scannedSince, fresh);
  return `(${newRows(since, fresh)} OR ${passedOver(relation.order, scannedSince, base.scanned.runs)})`;
}

/**
 * A row without a cursor that gets one, or a future one that is set right, may land below every bound. It shows by leaving
 * the rows that were outside the order: fewer of the old ones are left.
 */
async function outsideChanged(client: PostgresClient, relation: Relation, base: Mark, since: bigint): Promise<boolean> {
  if (relation.order === null) return false;
  if (Number(base.outside.rows) >= OUTSIDE_ROWS_MAX) return true;
  const row = await client.row(relation.where, `SELECT ${countOf(relation, `(${outsideOrder(relation.order, base.outside.fence)}) AND NOT (${newRows(since, [])})`)} AS rows`);
  return row.rows !== base.outside.rows;
}

/** Small tables, and cursors that are known not to grow: text in byte order, rows that come by logical replication. */
export function alwaysScanned(relation: Relation): boolean {
  return relation.bytes <= SMALL_TABLE_BYTES || relation.subscribed || (relation.order !== null && !grows(relation.order));
}

/** Cursors can go back (a wrong clock, cached sequence numbers, ids made by clients): a large table is looked through now and then. */
function scanDue(base: Mark, bytes: number, at: string): boolean {
  const pause = Math.max(SCAN_PAUSE_MIN_MICROSECONDS, Math.ceil((bytes / SCAN_BYTES_PER_MICROSECOND) * SCAN_TIME_SHARE));
  return BigInt(at) - BigInt(base.scanned.at) >= BigInt(pause);
}

/** Rows below the bound may have been passed over since the last look at the whole table, and the next look may be due. */
export function mayBeScanned(base: Mark, at: string): boolean {
  return base.scanned.runs.length > 0 && scanDue(base, 0, at);
}
