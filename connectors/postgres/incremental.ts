/**
 * The watermark algorithm. A run reads, in batches, every row version that was written by a transaction not finished at
 * the previous run's first snapshot (`since`), and nothing else:
 *
 * - with a cursor from `low` to the bound frozen in the run's first snapshot, page by page in the order `(cursor, key)`;
 * - in the first batch also rows without a cursor, beyond the future limit, and at -infinity;
 * - and, where a transaction was open at the previous run, or the table is small, or its cursor is known not to grow,
 *   rows anywhere: the column xmin has no index, so this looks at the whole table.
 *
 * A row version older than `since` was visible to the previous run and was read by it or before it. A version that no
 * snapshot of this run shows is younger than this run's first snapshot, and so is the next run's to read.
 */
import type { BatchLimits, IncrementalRead, RowFormat, StreamRead } from '../connector.ts';
import type { Guarantee, Position } from '../../schemas/position.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { type CopyOut, copyOut } from './copy.ts';
import type { PostgresClient } from './client.ts';
import { type Mark, parsePosition, type Run, toPosition } from './position.ts';
import { compare, findEnd, inRange, newRows, outsideOrder, pagingColumns, type RangeSpec } from './range.ts';
import { loadRelation, type OrderedColumn, type Relation } from './relation.ts';
import { type Before, type Bounds, hasOpenXids, readBefore, readBounds, readSnapshot, type Snapshot, trustMark, xminOf } from './snapshot.ts';

/** Tables up to this size are looked through whole in each run that follows a write anywhere on the server: some 50 ms. */
const SMALL_TABLE_BYTES = 32 * 1024 * 1024;
/** A larger table whose cursor is trusted is looked through at times: at most this share of the time. */
const SCAN_BYTES_PER_MICROSECOND = 200;
const SCAN_TIME_SHARE = 20;
const SCAN_PAUSE_MIN_MICROSECONDS = 60_000_000;
/** Lower bounds remembered for relations without row versions. */
const HISTORY_MAX = 32;

export interface OpenBatch {
  readonly read: IncrementalRead;
  readonly released: Promise<void>;
}

/** Opens the next batch of a run; see {@link SourceSession.readFrom}. */
export async function openBatch(client: PostgresClient, stream: StreamRead, position: Position | null, limits: BatchLimits, format: RowFormat): Promise<OpenBatch> {
  const relation = await loadRelation(client, stream);
  if (relation.order === null) throw new TidemarkError('source.cursor_missing', `${relation.where}: an incremental read needs a cursor.`);
  const state = position === null ? null : parsePosition(position, relation, relation.where);
  try {
    return state?.run ? await continueRun(client, stream, relation, relation.order, state.mark, state.run, limits, format) : await startRun(client, stream, relation, relation.order, state?.mark ?? null, limits, format);
  } catch (error) {
    await client.rollback();
    throw error;
  }
}

async function startRun(client: PostgresClient, stream: StreamRead, relation: Relation, order: OrderedColumn, base: Mark | null, limits: BatchLimits, format: RowFormat): Promise<OpenBatch> {
  const before = await readBefore(client, relation, stream);
  const snapshot = await beginSnapshot(client, relation.where);
  const from = startOf(base, snapshot, relation, order, before);
  const bounds = await readBounds(client, relation, order, stream, before);
  const mark = makeMark(base, stream, relation, order, before, snapshot, bounds, from.scan || from.since === null);
  const spec: RangeSpec = { ...from, after: null, upper: bounds.top };
  const end = await findEnd(client, relation, order, spec, limits.rowsMax);
  const run: Run | null = end === null || bounds.top === null ? null : { since: from.since?.toString() ?? null, fresh: [...from.fresh], upper: bounds.top, at: [...end] };
  const outside = outsideOrder(order, before.fence);
  const columns = pagingColumns(relation, order);
  const which = from.scan
    ? `${newRows(from.scannedSince, from.fresh)} AND (${end === null ? 'true' : `${compare(columns, '<=', end)} OR ${outside}`})`
    : `${newRows(from.since, from.fresh)} AND ((${inRange(order, columns, spec, end)}) OR ${outside})`;
  const out = copyOut(client, `SELECT ${relation.select} FROM ${relation.from} WHERE ${which}`, usableFormat(relation, format), relation.where);
  return toBatch(out, relation, stream, mark, run, before, bounds.futureRows, snapshot.asOf);
}

async function continueRun(client: PostgresClient, stream: StreamRead, relation: Relation, order: OrderedColumn, mark: Mark, run: Run, limits: BatchLimits, format: RowFormat): Promise<OpenBatch> {
  const snapshot = await beginSnapshot(client, relation.where);
  const trust = trustMark(mark, snapshot, relation.where);
  const spec: RangeSpec = { since: run.since === null || trust.since === null ? null : BigInt(run.since), fresh: run.fresh, low: null, after: run.at, upper: run.upper };
  const end = await findEnd(client, relation, order, spec, limits.rowsMax);
  const which = `${newRows(spec.since, spec.fresh)} AND ${inRange(order, pagingColumns(relation, order), spec, end)}`;
  const out = copyOut(client, `SELECT ${relation.select} FROM ${relation.from} WHERE ${which}`, usableFormat(relation, format), relation.where);
  return toBatch(out, relation, stream, mark, end === null ? null : { ...run, at: [...end] }, null, 0, snapshot.asOf);
}

/** Opens the transaction whose snapshot bounds and rows share. */
export async function beginSnapshot(client: PostgresClient, where: string): Promise<Snapshot> {
  await client.rows(where, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  return readSnapshot(client, where);
}

export interface RunStart {
  readonly since: bigint | null;
  readonly scannedSince: bigint | null;
  readonly low: string | null;
  readonly fresh: readonly string[];
  /** Look for new rows anywhere, not only from `low` on. */
  readonly scan: boolean;
}

/** What a run that starts from a mark has to read. Throws `source.history_lost`. */
export function startOf(base: Mark | null, snapshot: Snapshot, relation: Relation, order: OrderedColumn | null, before: Pick<Before, 'at'>): RunStart {
  const everything: RunStart = { since: null, scannedSince: null, low: null, fresh: [], scan: false };
  if (base === null) return everything;
  const trust = trustMark(base, snapshot, relation.where);
  if (!relation.hasXmin) return { ...everything, low: base.low };
  if (trust.since === null || trust.scannedSince === null) return everything;
  const known = new Set(base.leaves.split(','));
  const fresh = relation.leaves.split(',').filter((oid) => oid !== '' && !known.has(oid));
  const scan = base.open || trust.restarted || fresh.length > 0 || alwaysScanned(relation, order) || scanDue(base, relation, before.at);
  return { since: trust.since, scannedSince: trust.scannedSince, low: base.low, fresh, scan };
}

/** Small tables, and cursors that are known not to grow: text in byte order, rows that come by logical replication. */
export function alwaysScanned(relation: Relation, order: OrderedColumn | null): boolean {
  return relation.bytes <= SMALL_TABLE_BYTES || relation.subscribed || (order !== null && order.sql.endsWith('COLLATE "C"')) || order?.base === 'uuid';
}

/** Cursors can go back (a wrong clock, cached sequence numbers, ids made by clients): a large table is looked through now and then. */
function scanDue(base: Mark, relation: Relation, at: string): boolean {
  const pause = Math.max(SCAN_PAUSE_MIN_MICROSECONDS, Math.ceil((relation.bytes / SCAN_BYTES_PER_MICROSECOND) * SCAN_TIME_SHARE));
  return BigInt(at) - BigInt(base.scanned.at) >= BigInt(pause);
}

/** What is true once every row of a run that starts in `snapshot` has arrived. */
export function makeMark(base: Mark | null, stream: StreamRead, relation: Relation, order: OrderedColumn | null, before: Before, snapshot: Snapshot, bounds: Bounds, scanned: boolean): Mark {
  const since = xminOf(snapshot.text).toString();
  const mark = {
    top: bounds.top ?? base?.top ?? null,
    snapshot: snapshot.text,
    started: snapshot.started,
    wal: snapshot.wal,
    timeline: snapshot.timeline,
    open: before.open || hasOpenXids(snapshot.text),
    scanned: scanned || base === null ? { since, at: before.at } : base.scanned,
    leaves: relation.leaves,
    count: null,
  };
  if (relation.hasXmin || order === null) return { ...mark, low: bounds.low, history: [] };
  return { ...mark, ...lowWithoutVersions(base, order, before, mark.open, bounds, stream.overlapSeconds) };
}

/**
 * Without row versions the next run reaches back to the bound held before the oldest transaction that is open began, or
 * to the beginning where no such bound is known. Time cursors already reach back by the overlap.
 */
function lowWithoutVersions(base: Mark | null, order: OrderedColumn, before: Before, open: boolean, bounds: Bounds, overlapSeconds: number): Pick<Mark, 'low' | 'history'> {
  const history = [{ at: before.at, low: bounds.low }, ...(base?.history ?? [])].slice(0, HISTORY_MAX);
  if (alwaysUnordered(order)) return { low: null, history: [] };
  if (!open) return { low: bounds.low, history };
  if (before.clock !== null) return { low: before.oldest === '0' ? null : bounds.low, history: [] };
  // Sessions that hide their transactions are taken to have begun an overlap ago.
  const began = BigInt(before.oldest ?? before.at) - (before.hidden ? BigInt(overlapSeconds) * 1_000_000n : 0n);
  const held = history.slice(1).find(({ at }) => BigInt(at) <= began);
  return { low: held?.low ?? null, history };
}

const alwaysUnordered = (order: OrderedColumn): boolean => order.base === 'uuid' || order.sql.endsWith('COLLATE "C"');

function usableFormat(relation: Relation, asked: RowFormat): RowFormat {
  return asked === 'copy-binary' && relation.binary ? 'copy-binary' : 'copy-text';
}

function guaranteeOf(relation: Relation, stream: StreamRead, hidden: boolean): Guarantee {
  return relation.hasXmin || !hidden ? 'exact' : `within ${stream.overlapSeconds}s`;
}

function toBatch(out: CopyOut, relation: Relation, stream: StreamRead, mark: Mark, run: Run | null, before: Before | null, futureRows: number, asOf: string): OpenBatch {
  const { format, marksRejects, stream: rows, rowsRead } = out.read;
  const read: IncrementalRead = {
    format,
    marksRejects,
    stream: rows,
    rowsRead,
    to: toPosition(relation, { mark, run }),
    more: run !== null,
    guarantee: guaranteeOf(relation, stream, before?.hidden ?? false),
    futureRows,
    asOf,
  };
  return { read, released: out.released };
}
