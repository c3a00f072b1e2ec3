/**
 * New rows of an append straight into the target, without a stage: rows, ledger row and watermark commit in the transaction of the copy.
 * Only where every row is expected to be new; one that is not fails the copy by the target's key, and the range is read again into the stage.
 */
import type { IncrementalRead, SourceSession } from '../connectors/connector.ts';
import { batchTransaction, markLoaded, requireOpenRun, type BatchStep, type OpenBatch, type Staged } from '../destinations/postgres/batch.ts';
import { takesNewRows } from '../destinations/postgres/direct.ts';
import { advanceWatermark, writeLedger } from '../destinations/postgres/ledger.ts';
import { copyInSql } from '../destinations/postgres/stage.ts';
import { copyRows } from './copy-rows.ts';
import type { Engine, OnProgress } from './engine.ts';
import { faultPoint } from './fault-point.ts';
import type { MaskKeys } from './masks/mask-key.ts';
import { maskOf } from './masks/masking.ts';
import { requireSameShape } from './source-shape.ts';
import { hasChecks, type StreamPlan } from './stream-plan.ts';

export interface DirectAppend {
  readonly engine: Engine;
  readonly plan: StreamPlan;
  readonly keys: MaskKeys;
  readonly step: BatchStep;
  readonly open: OpenBatch;
  /** The watermark's version when the range was chosen. */
  readonly baseVersion: number;
  readonly read: IncrementalRead;
  readonly source: SourceSession;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
  /** What is recorded of the batch, but for what the copy tells. */
  readonly record: Omit<Staged, 'read' | 'bytes' | 'hash'>;
}

/** True where the stream's rows need no look and its last batch had none that the target knew. */
export async function mayAppendDirect(engine: Engine, plan: StreamPlan, step: BatchStep): Promise<boolean> {
  if (plan.mode !== 'append' || !plan.keyProven || hasChecks(plan) || (plan.deletes ?? null) !== null || (plan.retired ?? []).length > 0 || plan.marksDeletes === true) return false;
  return engine.destination.session('looking at a target', (session) => takesNewRows(session, { ...step, target: plan.target }));
}

/** Copies and commits. The server's own errors come out as they are. */
export async function appendDirect({ engine, plan, keys, step, open, baseVersion, read, source, signal, onProgress, record }: DirectAppend): Promise<Staged> {
  const loaded = await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
    await requireOpenRun(session, step.runId, open.batch);
    await session.query("select set_config('tidemark.batch', $1, true)", [String(open.batch)]);
    const names = plan.columns.map((column) => column.name);
    const { rows, bytes, hash } = await copyRows(read, session, copyInSql(plan.target, names, read.format, { marked: false, fresh: false }), signal, onProgress, maskOf(plan, read, keys));
    await requireSameShape(source, plan);
    const staged: Staged = { ...record, read: rows, bytes, hash };
    const { source: sourceId, stream, generation, runId } = step;
    const counts = { read: rows, written: rows, unchanged: 0, rejected: 0, superseded: 0, deleted: 0 };
    await writeLedger(session, { ...counts, batch: open.batch, source: sourceId, stream, runId, generation, kind: 'range', from: record.from, to: read.to.display, bytes, hash });
    const { guarantee, futureRows, asOf } = record;
    await advanceWatermark(session, { source: sourceId, stream, generation, baseVersion, position: record.to!, guarantee, futureRows, asOf });
    await markLoaded(session, open.batch, open.token, staged);
    await faultPoint('P6');
    return staged;
  });
  await faultPoint('P7');
  return loaded;
}

/** A row that the target has already. */
export function isKnownRow(error: unknown): boolean {
  return typeof error === 'object' && error !== null && Reflect.get(error, 'code') === '23505';
}
