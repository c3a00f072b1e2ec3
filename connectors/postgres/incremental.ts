/**
 * The watermark algorithm. A run reads, in batches, every row version that was written by a transaction not finished at
 * the previous run's first snapshot (`since`), and nothing else:
 *
 * - with a cursor from `low` to the bound frozen in the run's first snapshot, page by page in the order `(cursor, key)`;
 * - in the first batch also rows without a cursor, beyond the future limit, and at -infinity;
 * - and rows anywhere, where a transaction was open at the previous run, the table is small, its cursor is known not to
 *   grow, or rows outside the order have left it: the column xmin has no index, so this looks at the whole table.
 *
 * A row version older than `since` was visible to the previous run and was read by it or before it. A version that no
 * snapshot of this run shows is younger than this run's first snapshot, and so is the next run's to read.
 */
import type { BatchLimits, IncrementalRead, RowFormat, StreamRead } from '../connector.ts';
import type { Guarantee, Position } from '../../schemas/position.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { copyOut } from './copy.ts';
import type { PostgresClient } from './client.ts';
import { type Mark, parsePosition, type Run, toPosition } from './position.ts';
import { findNearEnd } from './near-end.ts';
import { compare, findEnd, inRange, newRows, pagingColumns, type RangeSpec, type Tuple } from './range.ts';
import { grows, loadRelation, type OrderedColumn, type Relation } from './relation.ts';
import { type RunStart, startOf } from './run-start.ts';
import { type Before, type Bounds, laterOf, outsideOrder, readBefore, readBounds, readSnapshot, type Snapshot, trustMark } from './snapshot.ts';

/** Lower bounds remembered for relations without row versions. */
const HISTORY_MAX = 32;
/** Windows of past runs remembered between two looks at the whole table. */
const PAST_RUNS_MAX = 16;

export interface OpenBatch {
  readonly read: IncrementalRead;
  readonly released: Promise<void>;
}

/** Null: the batch takes all that is left. */
interface BatchEnd {
  /** Its last row in the order of paging. */
  readonly end: Tuple | null;
  /** What its rows are compared with: the values of the first columns of paging. */
  readonly upTo: Tuple | null;
  /** See {@link findNearEnd}. */
  readonly short: boolean;
}

/** What stays the same while one batch is opened. */
interface Reading {
  readonly client: PostgresClient;
  readonly stream: StreamRead;
  readonly relation: Relation;
  readonly order: OrderedColumn;
  readonly limits: BatchLimits;
  readonly format: RowFormat;
}

/** Opens the next batch of a run; see {@link SourceSession.readFrom}. */
export async function openBatch(client: PostgresClient, stream: StreamRead, position: Position | null, limits: BatchLimits, format: RowFormat): Promise<OpenBatch> {
  const relation = await loadRelation(client, stream);
  const { order } = relation;
  if (order === null) throw new TidemarkError('source.cursor_missing', `${relation.where}: an incremental read needs a cursor.`);
  const reading: Reading = { client, stream, relation, order, limits, format };
  const state = position === null ? null : parsePosition(position, relation, relation.where);
  try {
    return await (state?.run ? continueRun(reading, state.mark, state.run) : startRun(reading, state?.mark ?? null));
  } catch (error) {
    await client.rollback();
    throw error;
  }
}

async function startRun(reading: Reading, base: Mark | null): Promise<OpenBatch> {
  const { client, stream, relation, order } = reading;
  const before = await readBefore(client, relation, stream);
  const snapshot = await beginSnapshot(client, relation.where);
  const from = await startOf(client, base, snapshot, relation);
  const bounds = await readBounds(client, relation, order, stream, before);
  const seen = bounds.top === null ? (base?.top ?? null) : await laterOf(client, relation, order, base?.top ?? null, bounds.top);
  const made = makeMark(base, stream, relation, before, snapshot, { ...bounds, top: seen }, from);
  const mark = { ...made, scanned: { ...made.scanned, runs: await pastRuns(reading, base, from) } };
  const spec: RangeSpec = { ...from, after: null, upper: bounds.top };
  const { end, upTo, short } = await chooseEnd(reading, spec, base?.top ?? null);
  const run: Run | null =
    end === null || bounds.top === null
      ? null
      : { since: from.since?.toString() ?? null, fresh: [...from.fresh], upper: bounds.top, at: [...end], shown: await laterOf(client, relation, order, base?.top ?? null, end[0] ?? ''), hidden: before.hidden };
  // The bounds are of this snapshot: where no row is outside, the server is spared a plan that looks for some.
  const outside = bounds.outsideRows === '0' ? '' : ` OR ${outsideOrder(order, before.fence)}`;
  const columns = pagingColumns(relation, order);
  const which = from.anywhere !== null
    ? `${from.anywhere} AND (${upTo === null ? 'true' : `${compare(columns, '<=', upTo)}${outside}`})`
    : `${newRows(from.since, from.fresh)} AND ((${inRange(order, columns, spec, upTo)})${outside})`;
  return openRows(reading, which, { mark, run, short, hidden: before.hidden, futureRows: bounds.futureRows, asOf: snapshot.asOf });
}

async function continueRun(reading: Reading, mark: Mark, run: Run): Promise<OpenBatch> {
  const { client, relation, order } = reading;
  const snapshot = await beginSnapshot(client, relation.where);
  const trust = trustMark(mark, snapshot, relation.where);
  const spec: RangeSpec = { since: run.since === null || trust.since === null ? null : BigInt(run.since), fresh: run.fresh, low: null, after: run.at, upper: run.upper };
  const { end, upTo, short } = await chooseEnd(reading, spec, run.at[0] ?? null);
  const which = `${newRows(spec.since, spec.fresh)} AND ${inRange(order, pagingColumns(relation, order), spec, upTo)}`;
  return openRows(reading, which, { mark, run: end === null ? null : { ...run, at: [...end], shown: await laterOf(client, relation, order, run.shown, end[0] ?? '') }, short, hidden: run.hidden, futureRows: 0, asOf: snapshot.asOf });
}

/** Of a batch whose lower bound is known; rows up to `floor` were read before. */
async function chooseEnd({ client, relation, order, limits }: Reading, spec: RangeSpec, floor: string | null): Promise<BatchEnd> {
  const near = await findNearEnd(client, relation, order, spec, floor, limits);
  // All rows of the last cursor value are in the batch: the server need not compare the key of each row.
  if (near !== null) return { end: near.end, upTo: near.end?.slice(0, 1) ?? null, short: true };
  const end = await findEnd(client, relation, order, spec, limits);
  return { end, upTo: end, short: false };
}

interface BatchFacts {
  readonly mark: Mark;
  readonly run: Run | null;
  readonly short: boolean;
  readonly hidden: boolean;
  readonly futureRows: number;
  readonly asOf: string;
}

function openRows(reading: Reading, which: string, facts: BatchFacts): OpenBatch {
  const { client, stream, relation, limits } = reading;
  const { mark, run, short, futureRows, asOf } = facts;
  const out = copyOut(client, `SELECT ${relation.select} FROM ${relation.from} WHERE ${which}`, usableFormat(relation, reading.format), relation.where, short ? limits.rowsMax : Infinity);
  const guarantee = guaranteeOf(relation, stream, facts.hidden);
  return { read: { ...out.read, to: toPosition(relation, { mark, run }), more: run !== null, short, guarantee, futureRows, asOf }, released: out.released };
}

/** Opens the transaction whose snapshot bounds and rows share. */
export async function beginSnapshot(client: PostgresClient, where: string): Promise<Snapshot> {
  await client.rows(where, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  return readSnapshot(client, where);
}

/** What is true once every row of a run that starts in `snapshot` has arrived. */
export function makeMark(base: Mark | null, stream: StreamRead, relation: Relation, before: Before, snapshot: Snapshot, bounds: Bounds, from: RunStart): Mark {
  const mark = {
    top: bounds.top,
    snapshot: snapshot.text,
    since: snapshot.since,
    started: snapshot.started,
    wal: snapshot.wal,
    timeline: snapshot.timeline,
    open: before.open || snapshot.openXids,
    scanned: base === null || from.since === null || from.anywhere !== null ? { since: snapshot.since, at: before.at, runs: [] } : base.scanned,
    outside: { fence: before.fence, rows: bounds.outsideRows },
    leaves: relation.leaves,
    // What an empty table held last is asked for once it is filled again.
    ...(bounds.last.length === 0 && base?.last !== undefined ? { last: base.last, file: base.file } : { last: bounds.last, file: relation.file }),
    count: null,
    versions: relation.hasXmin,
  };
  if (relation.hasXmin || relation.order === null) return { ...mark, low: bounds.low, history: [] };
  return { ...mark, ...lowWithoutVersions(base, relation.order, before, mark.open, bounds, stream.overlapSeconds) };
}

/** What the runs since the last look at the whole table have read, this one first. The oldest windows are merged under the higher of their bounds. */
async function pastRuns(reading: Reading, base: Mark | null, from: RunStart): Promise<Mark['scanned']['runs']> {
  if (base === null || from.since === null || from.anywhere !== null) return [];
  const runs = [{ since: from.since.toString(), low: from.low }, ...base.scanned.runs];
  const [younger, oldest] = runs.slice(-2);
  if (runs.length <= PAST_RUNS_MAX || !younger || !oldest) return runs;
  const low = younger.low === null ? oldest.low : await laterOf(reading.client, reading.relation, reading.order, oldest.low, younger.low);
  return [...runs.slice(0, -2), { since: oldest.since, low }];
}

/**
 * Without row versions the next run reaches back to the bound held before the oldest transaction that is open began, or
 * to the beginning where no such bound is known. Time cursors already reach back by the overlap.
 */
function lowWithoutVersions(base: Mark | null, order: OrderedColumn, before: Before, open: boolean, bounds: Bounds, overlapSeconds: number): Pick<Mark, 'low' | 'history'> {
  const history = [{ at: before.at, low: bounds.low }, ...(base?.history ?? [])].slice(0, HISTORY_MAX);
  if (!grows(order)) return { low: null, history: [] };
  if (!open) return { low: bounds.low, history };
  if (before.clock !== null) return { low: before.oldest === '0' ? null : bounds.low, history: [] };
  // Sessions that hide their transactions are taken to have begun an overlap ago.
  const began = BigInt(before.oldest ?? before.at) - (before.hidden ? BigInt(overlapSeconds) * 1_000_000n : 0n);
  const held = history.slice(1).find(({ at }) => BigInt(at) <= began);
  return { low: held?.low ?? null, history };
}

/** Binary only where every column's type is the same at both ends. */
export function usableFormat(relation: Relation, asked: RowFormat): RowFormat {
  return asked === 'copy-binary' && relation.binary ? 'copy-binary' : 'copy-text';
}

/** Row versions find every row, whoever hides transactions; without them what is hidden is covered by the overlap. */
export function guaranteeOf(relation: Relation, stream: StreamRead, hidden: boolean): Guarantee {
  return relation.hasXmin || !hidden ? 'exact' : `within ${stream.overlapSeconds}s`;
}
