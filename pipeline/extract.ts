import type { SourceSession } from '../connectors/connector.ts';
import { batchTransaction, makeLenient, markStaged, openBatch, reopenBatch, requireOpenRun, type BatchStep, type OpenBatch, type Staged } from '../destinations/postgres/batch.ts';
import { destinationError, isDataError } from '../destinations/postgres/errors.ts';
import { readBuilding } from '../destinations/postgres/generation.ts';
import { findLedger, readWatermark } from '../destinations/postgres/ledger.ts';
import { copyInSql, countStage, prepareStage, stageName, type Stage } from '../destinations/postgres/stage.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { NO_COUNTS, type StreamCounts } from '../schemas/run.ts';
import { appendDirect, mayAppendDirect } from './append-direct.ts';
import { copyRows } from './copy-rows.ts';
import { loadKeys, loadPlan, withSource, type Engine, type OnProgress } from './engine.ts';
import { faultPoint } from './fault-point.ts';
import { maskOf } from './masks/masking.ts';
import { openRange, type Attempt, type Base, type OpenRange } from './range-read.ts';
import { requireSameShape } from './source-shape.ts';
import type { StreamPlan } from './stream-plan.ts';

/** What the workflow learns of an extract: ids and counts. */
export interface Extracted {
  readonly batch: number;
  readonly read: number;
  readonly bytes: number;
  /** Another batch of this run follows at once. */
  readonly more: boolean;
  /** The rows must be looked at before they are loaded. */
  readonly needsTransform: boolean;
  /** Of a batch that is in the target already, or had no rows: nothing is left to load. Absent too where an earlier attempt put them there. */
  readonly loaded?: Omit<StreamCounts, 'bytes'>;
}

/**
 * Reads the next range of a stream into its stage.
 *
 * Idempotent: the same step is the same batch; a read that is made again gives it a new id, since its snapshot is newer. An attempt that finds it staged or loaded returns what was recorded; one that finds
 * it open ends the earlier attempt's session and starts clean. A batch whose COPY a type refused is read again into a stage of
 * text, where each row is tried by itself.
 */
export async function extractBatch(engine: Engine, step: BatchStep, signal: AbortSignal, onProgress: OnProgress): Promise<Extracted> {
  const plan = await loadPlan(engine, step.source, step.stream);
  const open = await openBatch(engine.destination, step);
  const known = await recall(engine, open, plan);
  if (known !== null) return known;
  const base = await readBase(engine, step);
  const keys = await loadKeys(engine, plan);
  const read = async (source: SourceSession): Promise<Extracted> => {
    const attempt: Attempt = { engine, plan, keys, step, open, base, signal, onProgress };
    try {
      if (!open.lenient && (await mayAppendDirect(engine, plan, step))) {
        const appended = await append(attempt, source);
        if (appended !== null) return appended;
      }
      return await stageRange(attempt, source, await openRange(attempt, source, open.lenient), open.lenient);
    } catch (error) {
      if (open.lenient || !isDataError(error)) throw destinationError(error, 'staging a batch');
    }
    await engine.destination.session('marking a batch', (session) => makeLenient(session, attempt.open.batch, open.token));
    try {
      return await stageRange(attempt, source, await openRange(attempt, source, true), true);
    } catch (error) {
      throw destinationError(error, 'staging a batch');
    }
  };
  return withSource(engine, step, signal, read, 'sync');
}

/** Null where the range has to be read into a stage after all. */
async function append(attempt: Attempt, source: SourceSession): Promise<Extracted | null> {
  const range = await openRange(attempt, source, false, attempt.engine.sideRows);
  if (range.read.marksRejects) return stageRange(attempt, source, range, false);
  const appended = await appendDirect(attempt, source, range);
  if (appended === null) return null;
  const { batch, batches, read, bytes, more } = appended;
  return { batch, read, bytes, more, needsTransform: false, loaded: { ...NO_COUNTS, batches, read, written: read } };
}

/** Copies the range that is open into the stage. */
async function stageRange(attempt: Attempt, source: SourceSession, { read, record }: OpenRange, lenient: boolean): Promise<Extracted> {
  const { engine, plan, base, open, signal } = attempt;
  const stage = stageOf(plan, null, lenient);
  const staged = await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
    await prepareStage(session, stage, open.batch);
    await requireOpenRun(session, attempt.step.runId, open.batch);
    const names = plan.columns.map((column) => column.name);
    const copied = await copyRows(read, session, copyInSql(stage.table, names, read.format, { marked: read.marksRejects, fresh: true }), signal, attempt.onProgress, maskOf(plan, read, attempt.keys));
    await requireSameShape(source, plan);
    const done: Staged = { ...record, read: copied.rows, bytes: copied.bytes, hash: copied.hash };
    await markStaged(session, open.batch, open.token, base.version, done);
    await faultPoint('P3');
    return done;
  }).finally(() => read.stream.destroy());
  await faultPoint('P4');
  return extracted(open.batch, staged, plan, lenient);
}

/** The stage of a stream, or of one part of a build or slice of a backfill: {@link stagedAs}. */
export function stageOf(plan: StreamPlan, part: number | string | null, lenient: boolean): Stage {
  return { table: stageName(plan.source, plan.stream, part === null ? null : String(part)), columns: plan.columns, lenient, transforms: plan.transforms ?? [], nulls: plan.retired ?? [] };
}

/** What tells a batch's stage from the others of its stream. */
export function stagedAs(step: { readonly part: number | null; readonly slice?: number }): number | string | null {
  return step.slice === undefined ? step.part : `slice_${step.slice}`;
}

/** What an earlier attempt left, where it is still good; null where the batch is to be read. */
async function recall(engine: Engine, open: OpenBatch, plan: StreamPlan): Promise<Extracted | null> {
  const staged = open.staged;
  if (staged === null || open.state === 'open') return null;
  if (open.state === 'loaded') return extracted(open.batch, staged, plan, open.lenient);
  return engine.destination.session('looking at a stage', async (session) => {
    if ((await findLedger(session, open.batch)) !== null || (await countStage(session, stageOf(plan, null, open.lenient).table, open.batch)) === staged.read) {
      return extracted(open.batch, staged, plan, open.lenient);
    }
    await reopenBatch(session, open.batch, open.token);
    return null;
  });
}

async function readBase(engine: Engine, step: BatchStep): Promise<Base> {
  const watermark = await readWatermark(engine.destination, step.source, step.stream);
  if (watermark !== null && watermark.generation === step.generation) return watermark;
  const building = await engine.destination.session('reading a build', (session) => readBuilding(session, step.source, step.stream, step.generation));
  if (building.position === null) throw new TidemarkError('batch.fenced', `Generation ${step.generation} of ${step.stream} has no position.`);
  return building;
}

function extracted(batch: number, staged: Staged, plan: StreamPlan, lenient: boolean): Extracted {
  return { batch, read: staged.read, bytes: staged.bytes, more: staged.more, needsTransform: staged.read > 0 && (lenient || staged.marked || !plan.keyProven) };
}
