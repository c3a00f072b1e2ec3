import type { RowRead, SourceSession } from '../connectors/connector.ts';
import { batchTransaction, makeLenient, markStaged, openBatch, readInOrder, type BatchStep, type OpenBatch } from '../destinations/postgres/batch.ts';
import { expectBatches } from '../destinations/postgres/batch-column.ts';
import { destinationError, isDataError } from '../destinations/postgres/errors.ts';
import { emptyWhole, finishPart, readBuilding, readPart, type Building } from '../destinations/postgres/generation.ts';
import { findLedger, writeLedger } from '../destinations/postgres/ledger.ts';
import { copyInSql, prepareStage } from '../destinations/postgres/stage.ts';
import { copyRows, keepError, type Copied } from './copy-rows.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Part, Position } from '../schemas/position.ts';
import { loadKeys, loadPlan, withSource, type Engine, type OnProgress, type OpenedSource } from './engine.ts';
import { requireReached } from './fallback-reach.ts';
import { stageOf } from './extract.ts';
import { faultPoint } from './fault-point.ts';
import type { MaskKeys } from './masks/mask-key.ts';
import { maskOf } from './masks/masking.ts';
import { NO_MASKS } from './masks/masked-columns.ts';
import { positionSeal } from './masks/sealed-position.ts';
import { requireSameShape } from './source-shape.ts';
import { hasChecks, type StreamPlan } from './stream-plan.ts';

/** Rows that are copied in about a quarter of a minute. */
const LOCKED_ROWS_MAX = 8_000_000;

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
  readonly keys: MaskKeys;
  readonly building: Building;
  readonly part: number;
  readonly bounds: Part;
  /** Of the build: a replica that has not reached it is not read. */
  readonly position: Position;
  /** As of its last read: each draws an id of its own. */
  open: OpenBatch;
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
  const { building, sealed } = await engine.destination.session('reading a part', async (session) => ({
    building: await readBuilding(session, step.source, step.stream, step.generation),
    sealed: await readPart(session, part),
  }));
  const keys = await loadKeys(engine, plan);
  const seal = positionSeal(plan.masks ?? NO_MASKS, plan, keys);
  const attempt: PartAttempt = { engine, plan, keys, building, part, bounds: seal.openPart(sealed), position: seal.openPosition(building.position), open, step, signal, onProgress };
  let way: Way = open.lenient ? 'lenient' : wantsStage(plan) ? 'staged' : 'direct';
  for (;;) {
    try {
      return await copyOneWay(attempt, way);
    } catch (error) {
      const next = slowerWay(way, error);
      if (next === null) throw destinationError(error, 'copying a part');
      if (next === 'lenient') await engine.destination.session('marking a batch', (session) => makeLenient(session, attempt.open.batch, open.token));
      way = next;
    }
  }
}

/** Whoever dumps the database, or asks for the size of each table, waits for a generation that is locked: seconds, not hours. */
function mayLock({ rowEstimate }: Part): boolean {
  // Where the server does not tell, it is none or less.
  return rowEstimate > 0 && rowEstimate <= LOCKED_ROWS_MAX;
}

/** A source that refuses a row of its own is read again with marks; a value that only the destination refuses needs a stage of text. */
function slowerWay(way: Way, error: unknown): Way | null {
  if (way === 'direct' && error instanceof TidemarkError && error.code === 'source.row_refused') return 'staged';
  return way !== 'lenient' && isDataError(error) ? 'lenient' : null;
}

/** `direct`: into the generation. `staged`: rows that the source may mark. `lenient`: a stage of text, each row tried by itself. */
type Way = 'direct' | 'staged' | 'lenient';

async function copyOneWay(attempt: PartAttempt, way: Way): Promise<CopiedPart> {
  const { engine, plan, step, signal } = attempt;
  const copy = async (source: OpenedSource): Promise<CopiedPart> => {
    await requireReached(source, plan.read, attempt.position);
    const openRead = async () => keepError(await source.readPart(plan.read, attempt.bounds, way === 'lenient' ? 'copy-text' : plan.format, way === 'direct' ? 'fail' : 'mark'));
    const { open, read: rows } = await readInOrder(engine.destination, step, attempt.open, signal, openRead);
    attempt.open = open;
    return way === 'direct' && !rows.marksRejects ? copyDirect(attempt, source, rows) : stagePart(attempt, source, rows, way === 'lenient');
  };
  return withSource(engine, step, signal, copy, 'sync');
}

/** Rows must be looked at first: for rules, transforms and tombstones, or since the source does not enforce the key, so that copies of it must be told apart before the key is built. */
function wantsStage(plan: StreamPlan): boolean {
  return (plan.key.length > 0 && !plan.keyProven) || hasChecks(plan) || (plan.deletes?.tombstone ?? null) !== null;
}

async function copyDirect(attempt: PartAttempt, source: SourceSession, read: RowRead): Promise<CopiedPart> {
  const { engine, plan, building, open, step, part } = attempt;
  const copied = await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
    await session.query("select set_config('tidemark.batch', $1, true)", [String(open.batch)]);
    const fresh = mayLock(attempt.bounds) && (await emptyWhole(session, step.source, step.stream, building));
    const names = plan.columns.map((column) => column.name);
    const rows = await copyRows(read, session, copyInSql(building.table, names, read.format, { marked: false, fresh }), attempt.signal, attempt.onProgress, maskOf(plan, read, attempt.keys));
    await requireSameShape(source, plan);
    await finishPart(session, part, open.batch);
    await writeLedger(session, { ...ledgerEntry(step, open, rows), written: rows.rows, kind: 'part' });
    await session.query("update tidemark.batch set state = 'loaded', backend = null where batch = $1 and token = $2", [open.batch, open.token]);
    await faultPoint('P6');
    return rows;
  }).finally(() => read.stream.destroy());
  await faultPoint('P7');
  return { batch: open.batch, read: copied.rows, bytes: copied.bytes, staged: false };
}

async function stagePart(attempt: PartAttempt, source: SourceSession, read: RowRead, lenient: boolean): Promise<CopiedPart> {
  const { engine, plan, building, open, part } = attempt;
  const stage = stageOf(plan, part, lenient);
  const copied = await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
    await prepareStage(session, stage, open.batch);
    await expectBatches(session, building.table);
    const names = plan.columns.map((column) => column.name);
    const rows = await copyRows(read, session, copyInSql(stage.table, names, read.format, { marked: read.marksRejects, fresh: true }), attempt.signal, attempt.onProgress, maskOf(plan, read, attempt.keys));
    await requireSameShape(source, plan);
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
