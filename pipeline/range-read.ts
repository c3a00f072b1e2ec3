/** One attempt at the next range of a stream: what it goes on from, and its read once that is open. */
import type { IncrementalRead, SourceSession } from '../connectors/connector.ts';
import { readInOrder, type BatchStep, type OpenBatch, type Staged } from '../destinations/postgres/batch.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Position } from '../schemas/position.ts';
import { keepError } from './copy-rows.ts';
import type { Engine, OnProgress } from './engine.ts';
import { faultPoint } from './fault-point.ts';
import type { MaskKeys } from './masks/mask-key.ts';
import { NO_MASKS } from './masks/masked-columns.ts';
import { positionSeal } from './masks/sealed-position.ts';
import { hasChecks, type StreamPlan } from './stream-plan.ts';

/** Where a stream is complete, and the version of the watermark that says so. */
export interface Base {
  readonly position: Position | null;
  readonly version: number;
}

export interface Attempt {
  readonly engine: Engine;
  readonly plan: StreamPlan;
  readonly keys: MaskKeys;
  readonly step: BatchStep;
  /** As of its last read: each draws an id of its own. */
  open: OpenBatch;
  readonly base: Base;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

export interface OpenRange {
  readonly read: IncrementalRead;
  /** What is recorded of the batch, but for what its copy tells. */
  readonly record: Omit<Staged, 'read' | 'bytes' | 'hash'> & { readonly to: Position };
}

/** Opens the read of the attempt's batch, which gets a new id by that. `rowsWanted`: see {@link BatchLimits}. Throws `source.batch_overfull`: see {@link Engine.wholeRangesOnly}. */
export async function openRange(attempt: Attempt, source: SourceSession, lenient: boolean, rowsWanted?: number): Promise<OpenRange> {
  const { engine, plan, base } = attempt;
  const seal = positionSeal(plan.masks ?? NO_MASKS, plan, attempt.keys);
  const from = base.position === null ? null : seal.openPosition(base.position);
  const wholeOnly = engine.wholeRangesOnly === true;
  const limits = { rowsMax: rowsMaxOf(attempt), wholeOnly, ...(rowsWanted === undefined ? {} : { rowsWanted }) };
  const { open, read } = await readInOrder(engine.destination, attempt.step, attempt.open, attempt.signal, async () => keepError(await source.readFrom(plan.read, from, limits, lenient ? 'copy-text' : plan.format)));
  attempt.open = open;
  await faultPoint('P1');
  // Not every connector is spared work by it.
  if (wholeOnly && read.more) {
    read.stream.destroy();
    throw new TidemarkError('source.batch_overfull', `${plan.source} ${plan.stream}: more than ${limits.rowsMax} rows are new.`);
  }
  const record = {
    marked: read.marksRejects || lenient || hasChecks(plan),
    to: seal.sealPosition(read.to),
    from: base.position?.display ?? null,
    more: read.more,
    guarantee: read.guarantee,
    futureRows: read.futureRows,
    asOf: read.asOf,
  };
  return { read, record };
}

/** Rows that commit together at most. */
export function rowsMaxOf({ engine, plan }: Attempt): number {
  return Math.min(plan.batchRowsMax ?? Infinity, engine.batchRowsMax);
}
