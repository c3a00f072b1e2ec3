import type { SourceSession } from '../connectors/connector.ts';
import { batchTransaction, makeLenient, markStaged, openBatch, readInOrder, type BatchStep, type OpenBatch } from '../destinations/postgres/batch.ts';
import { isPaused } from '../destinations/postgres/catalog.ts';
import { destinationError, isDataError } from '../destinations/postgres/errors.ts';
import { findLedger, readWatermark, type Counts } from '../destinations/postgres/ledger.ts';
import { readSlice, type Slice } from '../destinations/postgres/slices.ts';
import { copyInSql, prepareStage } from '../destinations/postgres/stage.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Guarantee } from '../schemas/position.ts';
import { copyRows, keepError } from './copy-rows.ts';
import { loadKeys, loadPlan, withSource, type Engine, type OnProgress } from './engine.ts';
import { stageOf } from './extract.ts';
import { faultPoint } from './fault-point.ts';
import { loadBatch } from './load.ts';
import type { MaskKeys } from './masks/mask-key.ts';
import { maskOf } from './masks/masking.ts';
import { requireSameShape } from './source-shape.ts';
import type { StreamPlan } from './stream-plan.ts';
import { transformBatch } from './transform.ts';

const NOTHING: Counts = { read: 0, written: 0, unchanged: 0, rejected: 0, superseded: 0, deleted: 0 };

interface Attempt {
  readonly engine: Engine;
  readonly plan: StreamPlan;
  readonly keys: MaskKeys;
  readonly slice: Slice;
  readonly guarantee: Guarantee;
  readonly step: BatchStep;
  /** As of its last read: each draws an id of its own. */
  open: OpenBatch;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

/**
 * Reads one slice of a backfill into a stage of its own, transforms it and merges it into the generation that readers see, with its ledger row.
 * Returns null, having done nothing, while somebody holds the stream or its source paused.
 *
 * Idempotent: a slice that is in the ledger is not read again. An attempt that finds it staged reads it again, as a newer batch. Target rows that
 * were read from a later snapshot stay and count as superseded. Throws like `extractBatch` and `loadBatch`.
 */
export async function copySlice(engine: Engine, id: number, signal: AbortSignal, onProgress: OnProgress): Promise<Counts | null> {
  const { slice, paused } = await engine.destination.session('reading a slice', async (session) => {
    const found = await readSlice(session, id);
    return { slice: found, paused: await isPaused(session, found.source, found.stream) };
  });
  if (slice.state !== 'open') return NOTHING;
  if (paused) return null;
  const plan = await loadPlan(engine, slice.source, slice.stream);
  const watermark = await readWatermark(engine.destination, slice.source, slice.stream);
  if (watermark === null) throw new TidemarkError('run.not_applied', `Stream ${slice.stream} of ${slice.source} has not been loaded yet.`, { hint: 'Run tidemark sync first.' });
  const { source, stream, runId } = slice;
  // A slice that is read again for another generation is another batch.
  const step: BatchStep = { source, stream, runId, step: `slice.${id}.${watermark.generation}`, generation: watermark.generation };
  const open = await openBatch(engine.destination, step);
  const done = await engine.destination.session('looking into the ledger', (session) => findLedger(session, open.batch));
  if (done !== null) return done;
  const attempt: Attempt = { engine, plan, keys: await loadKeys(engine, plan), slice, guarantee: watermark.guarantee, step, open, signal, onProgress };
  await withSource(engine, { source, stream }, signal, (session) => stageEitherWay(attempt, session));
  const batch = { batch: attempt.open.batch, part: null, slice: id };
  await transformBatch(engine, batch);
  return loadBatch(engine, batch);
}

async function stageEitherWay(attempt: Attempt, source: SourceSession): Promise<void> {
  try {
    return await stageSlice(attempt, source, attempt.open.lenient);
  } catch (error) {
    if (attempt.open.lenient || !isDataError(error)) throw destinationError(error, 'staging a slice');
  }
  await attempt.engine.destination.session('marking a batch', (session) => makeLenient(session, attempt.open.batch, attempt.open.token));
  await stageSlice(attempt, source, true).catch((error: unknown) => {
    throw destinationError(error, 'staging a slice');
  });
}

async function stageSlice(attempt: Attempt, source: SourceSession, lenient: boolean): Promise<void> {
  const { engine, plan, slice, signal } = attempt;
  const { open, read } = await readInOrder(engine.destination, attempt.step, attempt.open, signal, async () => keepError(await openSlice(source, attempt, lenient)));
  attempt.open = open;
  await faultPoint('P1');
  const stage = stageOf(plan, `slice_${slice.id}`, lenient);
  await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
    await prepareStage(session, stage, open.batch);
    const names = plan.columns.map((column) => column.name);
    const copied = await copyRows(read, session, copyInSql(stage.table, names, read.format, { marked: read.marksRejects, fresh: true }), signal, attempt.onProgress, maskOf(plan, read, attempt.keys));
    await requireSameShape(source, plan);
    await markStaged(session, open.batch, open.token, 0, {
      read: copied.rows,
      bytes: copied.bytes,
      hash: copied.hash,
      marked: true,
      to: null,
      from: slice.from,
      toBound: slice.to,
      more: false,
      guarantee: attempt.guarantee,
      futureRows: 0,
      asOf: read.asOf,
    });
    await faultPoint('P3');
  }).finally(() => read.stream.destroy());
  await faultPoint('P4');
}

async function openSlice(source: SourceSession, { plan, slice }: Attempt, lenient: boolean) {
  if (source.readSlice !== undefined) return source.readSlice(plan.read, { from: slice.from, to: slice.to }, lenient ? 'copy-text' : plan.format);
  throw new TidemarkError('source.cursor_unusable', `The source of ${plan.stream} can't read a range of its cursor.`, { hint: 'Run tidemark sync --full for it.' });
}
