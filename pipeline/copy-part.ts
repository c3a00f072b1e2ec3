import type { RowRead } from '../connectors/connector.ts';
import { batchTransaction, makeLenient, markStaged, openBatch, type BatchStep, type OpenBatch } from '../destinations/postgres/batch.ts';
import { destinationError, isDataError } from '../destinations/postgres/errors.ts';
import { finishPart, readBuilding, readPart, type Building } from '../destinations/postgres/generation.ts';
import { findLedger, writeLedger } from '../destinations/postgres/ledger.ts';
import { copyInSql, prepareStage } from '../destinations/postgres/stage.ts';
import { copyRows, keepError, type Copied } from './copy-rows.ts';
import { loadPlan, withSource, type Engine, type OnProgress } from './engine.ts';
import { stageOf } from './extract.ts';
import { faultPoint } from './fault-point.ts';
import type { StreamPlan } from './stream-plan.ts';

export interface CopiedPart {
  readonly batch: number;
  readonly read: number;
  readonly bytes: number;
  /** The part waits in a stage of its own, since rows of it must be looked at; else it is loaded. */
  readonly staged: boolean;
}

interface PartAttempt {
  readonly engine: Engine;
  readonly plan: StreamPlan;
  readonly building: Building;
  readonly part: number;
  readonly open: OpenBatch;
  readonly step: BatchStep;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

/**
 * Copies one part of a full build straight into the next generation, with its ledger row in the same transaction: no second write.
 * A part whose rows the source marks, or whose COPY a type refuses, goes through a stage of its own instead.
 *
 * Idempotent like an extract: a part that is in the ledger is not copied again.
 */
export async function copyPart(engine: Engine, step: BatchStep, part: number, signal: AbortSignal, onProgress: OnProgress): Promise<CopiedPart> {
  const plan = await loadPlan(engine, step.source, step.stream);
  const open = await openBatch(engine.destination, step);
  const done = await engine.destination.session('looking into the ledger', (session) => findLedger(session, open.batch));
  if (done !== null) return { batch: open.batch, read: done.read, bytes: 0, staged: false };
  const { building, bounds } = await engine.destination.session('reading a part', async (session) => ({
    building: await readBuilding(session, step.source, step.stream, step.generation),
    bounds: await readPart(session, part),
  }));
  const attempt: PartAttempt = { engine, plan, building, part, open, step, signal, onProgress };
  return withSource(engine, step.source, signal, async (source) => {
    const read = async (lenient: boolean) => keepError(await source.readPart(plan.read, bounds.part, lenient ? 'copy-text' : plan.format));
    try {
      const rows = await read(open.lenient);
      return open.lenient || rows.marksRejects || mayRepeat(plan) ? await stagePart(attempt, rows, open.lenient) : await copyDirect(attempt, rows);
    } catch (error) {
      if (open.lenient || !isDataError(error)) throw destinationError(error, 'copying a part');
    }
    return retryLenient(attempt, read);
  });
}

/** The source does not enforce the key, so copies of it must be told apart before the key is built. */
function mayRepeat(plan: StreamPlan): boolean {
  return plan.key.length > 0 && !plan.keyProven;
}

async function retryLenient(attempt: PartAttempt, read: (lenient: boolean) => Promise<RowRead>): Promise<CopiedPart> {
  const { engine, open } = attempt;
  await engine.destination.session('marking a batch', (session) => makeLenient(session, open.batch, open.token));
  try {
    return await stagePart(attempt, await read(true), true);
  } catch (error) {
    throw destinationError(error, 'staging a part');
  }
}

async function copyDirect(attempt: PartAttempt, read: RowRead): Promise<CopiedPart> {
  const { engine, plan, building, open, step, part } = attempt;
  const copied = await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
    await session.query("select set_config('tidemark.batch', $1, true)", [String(open.batch)]);
    const names = plan.columns.map((column) => column.name);
    const rows = await copyRows(read, session, copyInSql(building.table, names, read.format, false), attempt.signal, attempt.onProgress);
    await finishPart(session, part, open.batch);
    await writeLedger(session, { ...ledgerEntry(step, open, rows), written: rows.rows, kind: 'part' });
    await session.query("update tidemark.batch set state = 'loaded', backend = null where batch = $1 and token = $2", [open.batch, open.token]);
    await faultPoint('P6');
    return rows;
  }).finally(() => read.stream.destroy());
  await faultPoint('P7');
  return { batch: open.batch, read: copied.rows, bytes: copied.bytes, staged: false };
}

async function stagePart(attempt: PartAttempt, read: RowRead, lenient: boolean): Promise<CopiedPart> {
  const { engine, plan, building, open, part } = attempt;
  const stage = stageOf(plan, part, lenient);
  const copied = await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
    await prepareStage(session, stage);
    const names = plan.columns.map((column) => column.name);
    const rows = await copyRows(read, session, copyInSql(stage.table, names, read.format, read.marksRejects), attempt.signal, attempt.onProgress);
    const record = { read: rows.rows, bytes: rows.bytes, hash: rows.hash, marked: true, to: null, from: null, more: false, guarantee: building.guarantee, futureRows: 0, asOf: null };
    await markStaged(session, open.batch, open.token, building.version, record);
    return rows;
  }).finally(() => read.stream.destroy());
  return { batch: open.batch, read: copied.rows, bytes: copied.bytes, staged: true };
}

function ledgerEntry(step: BatchStep, open: OpenBatch, copied: Copied) {
  return {
    batch: open.batch,
    source: step.source,
    stream: step.stream,
    runId: step.runId,
    generation: step.generation,
    from: null,
    to: null,
    read: copied.rows,
    unchanged: 0,
    rejected: 0,
    superseded: 0,
    deleted: 0,
    bytes: copied.bytes,
    hash: copied.hash,
  };
}
