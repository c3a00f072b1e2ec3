import { batchTransaction, fenced, hasEarlierOpen, reopenBatch, takeBatch, type OpenBatch, type BatchStep } from '../destinations/postgres/batch.ts';
import { destinationError } from '../destinations/postgres/errors.ts';
import type { Session } from '../destinations/postgres/destination.ts';
import { finishPart, readBuilding } from '../destinations/postgres/generation.ts';
import { advanceBuilding, advanceWatermark, findLedger, hasLaterBatch, lockWatermark, writeLedger, type Advance, type Counts } from '../destinations/postgres/ledger.ts';
import { supersedeDeleted } from '../destinations/postgres/deletes.ts';
import { quarantineStage, type Merge } from '../destinations/postgres/merge.ts';
import { countStage, dropStage, stageCounts } from '../destinations/postgres/stage.ts';
import { quoteTable, type TableName } from '../destinations/postgres/identifiers.ts';
import { finishSlice } from '../destinations/postgres/slices.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { countPassedOver, mergeWithDeletes } from './deletes/batch-deletes.ts';
import { askToDelete, DeletesNotApproved } from './deletes/delete-cap.ts';
import { stageDeletesOf } from './deletes/target-deletes.ts';
import { deleteOvertaken } from '../destinations/postgres/retention.ts';
import { retentionScope } from './retention-plan.ts';
import { loadPlan, type Engine } from './engine.ts';
import { stagedAs, stageOf } from './extract.ts';
import { faultPoint } from './fault-point.ts';
import type { StreamPlan } from './stream-plan.ts';
import { touchLogOf } from './touch-log.ts';
import { requireStage, type TransformStep } from './transform.ts';

/**
 * Loads a staged batch: rows, quarantine, ledger row and watermark commit together or not at all.
 *
 * Idempotent: a batch that is in the ledger is not loaded again. An attempt that another has overtaken, by its token or by the watermark's
 * version, commits nothing. Throws `batch.fenced`, `batch.stage_lost`, `batch.equation`.
 */
export async function loadBatch(engine: Engine, step: TransformStep): Promise<Counts> {
  const open = await takeBatch(engine.destination, step.batch);
  const done = await engine.destination.session('looking into the ledger', (session) => findLedger(session, step.batch));
  if (done !== null) return done;
  const plan = await loadPlan(engine, open.source, open.stream);
  try {
    const counts = await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
      const loaded = await loadInto(session, plan, open, step);
      await faultPoint('P6');
      return loaded;
    });
    await faultPoint('P7');
    return counts;
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'batch.stage_lost') {
      await engine.destination.session('reopening a batch', (session) => reopenBatch(session, step.batch, open.token));
    }
    if (error instanceof DeletesNotApproved) throw (await askToDelete(engine.destination, error)).error;
    throw destinationError(error, 'loading a batch');
  }
}

async function loadInto(session: Session, plan: StreamPlan, open: OpenBatch & BatchStep, step: TransformStep): Promise<Counts> {
  const { part, slice } = step;
  const staged = open.staged;
  const stage = stageOf(plan, stagedAs(step), open.lenient);
  requireStage(open, await countStage(session, stage.table, open.batch));
  if (staged === null) throw fenced(open.batch);
  const into = slice === undefined ? await targetOf(session, plan, open) : await currentTarget(session, plan, open);
  const drafted: Merge = {
    stage,
    into: into.table,
    key: part === null ? plan.key : [],
    onKnownKey: plan.mode === 'append' ? 'keep' : 'update',
    batch: open.batch,
    marked: staged.marked || !plan.keyProven,
    mayBeOlder: part === null && (await hasLaterBatch(session, open.source, open.stream, open.batch)),
    telling: (plan.transforms ?? []).some(({ name }) => name === plan.cursor) ? null : plan.cursor,
    touchLog: into.building || part !== null ? null : touchLogOf(plan),
    confirms: part === null && (await hasEarlierOpen(session, open.source, open.stream, open.batch)),
    deletes: stageDeletesOf(plan),
  };
  const merge = drafted.mayBeOlder && (await supersedeDeleted(session, open, drafted)) ? { ...drafted, marked: true } : drafted;
  const marks = merge.marked ? await stageCounts(session, stage.table) : { rejected: 0, superseded: 0 };
  const scope = retentionScope(plan, into.table, open.runId);
  if (scope !== null) await deleteOvertaken(session, merge, scope);
  const { written, older, deleted } = await mergeWithDeletes(session, plan, merge, { runId: open.runId, slice: slice !== undefined, ...into });
  await faultPoint('P5');
  if (marks.rejected > 0) await quarantineStage(session, merge, open.source, open.stream);
  const { rejected } = marks;
  const superseded = marks.superseded + older;
  const counts: Counts = { read: staged.read, written, rejected, superseded, deleted, unchanged: staged.read - written - rejected - superseded - deleted };
  // Without a key every good row is inserted: one that is not was swallowed on the way, by a trigger of the target for example.
  if (merge.key.length === 0 && counts.unchanged !== (await countPassedOver(session, merge))) {
    throw new TidemarkError('batch.equation', `Batch ${open.batch} inserted ${written} of ${staged.read - rejected - superseded} rows; nothing of it was committed.`, { hint: 'Look for triggers and rules on the target.' });
  }
  await account(session, open, into.generation, counts, slice !== undefined ? 'slice' : part === null ? 'range' : 'part');
  if (slice !== undefined) await closeSlice(session, slice, open, into.generation, stage.table);
  else if (part === null) await advance(session, open, into.building);
  else await closePart(session, part, open.batch, stage.table);
  await markDone(session, open.batch);
  return counts;
}

/** Ledger and watermark of a range whose rows are in the target. */
export async function closeRange(session: Session, open: OpenBatch & BatchStep, building: boolean, counts: Counts): Promise<void> {
  await account(session, open, open.generation, counts, 'range');
  await advance(session, open, building);
  await markDone(session, open.batch);
}

async function account(session: Session, open: OpenBatch & BatchStep, generation: number, counts: Counts, kind: 'range' | 'part' | 'slice'): Promise<void> {
  if (open.staged === null) throw fenced(open.batch);
  const { batch, source, stream, runId, staged } = open;
  await writeLedger(session, { ...counts, batch, source, stream, runId, generation, kind, from: staged.from, to: staged.toBound ?? staged.to?.display ?? null, bytes: staged.bytes, hash: staged.hash });
}

async function markDone(session: Session, batch: number): Promise<void> {
  await session.query("update tidemark.batch set state = 'loaded', backend = null where batch = $1", [batch]);
}

interface Into {
  readonly table: TableName;
  readonly generation: number;
  /** True while the generation is not the one that readers see. */
  readonly building: boolean;
}

async function targetOf(session: Session, plan: StreamPlan, open: BatchStep): Promise<Into> {
  if ((await lockWatermark(session, open.source, open.stream)) === open.generation) return { table: plan.target, generation: open.generation, building: false };
  const building = await readBuilding(session, open.source, open.stream, open.generation);
  return { table: building.table, generation: open.generation, building: true };
}

/**
 * A slice goes into the generation that readers see at its commit. The target is locked before the watermark, as a swap does it: the other way round
 * the two could wait for each other.
 */
async function currentTarget(session: Session, plan: StreamPlan, open: BatchStep): Promise<Into> {
  await session.query(`lock table ${quoteTable(plan.target)} in row exclusive mode`);
  const generation = await lockWatermark(session, open.source, open.stream);
  if (generation === null) throw new TidemarkError('run.not_applied', `Stream ${open.stream} of ${open.source} has no target any more.`, { hint: 'Run tidemark sync.' });
  return { table: plan.target, generation, building: false };
}

async function advance(session: Session, open: OpenBatch & BatchStep, building: boolean): Promise<void> {
  const staged = open.staged!;
  if (staged.to === null) throw fenced(open.batch);
  const { rows } = await session.query<{ base: string }>('select base_version as base from tidemark.batch where batch = $1', [open.batch]);
  if (!rows[0]) throw fenced(open.batch);
  const next: Advance = {
    source: open.source,
    stream: open.stream,
    generation: open.generation,
    baseVersion: Number(rows[0].base),
    position: staged.to,
    guarantee: staged.guarantee,
    futureRows: staged.futureRows,
    asOf: staged.asOf,
  };
  await (building ? advanceBuilding(session, next) : advanceWatermark(session, next));
}

async function closePart(session: Session, part: number, batch: number, stage: TableName): Promise<void> {
  await finishPart(session, part, batch);
  await dropStage(session, stage);
}

/** The watermark stays. An attempt whose batch was forgotten meanwhile commits nothing: others no longer reckon with its rows. */
async function closeSlice(session: Session, slice: number, open: OpenBatch, generation: number, stage: TableName): Promise<void> {
  const { rowCount } = await session.query('select from tidemark.batch where batch = $1 and token = $2 for update', [open.batch, open.token]);
  if (rowCount !== 1) throw fenced(open.batch);
  await finishSlice(session, slice, open.batch, generation);
  await dropStage(session, stage);
}
