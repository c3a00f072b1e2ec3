/** Differing keys copied again, the ordinary way: stage, merge, quarantine and ledger in one transaction; the watermark stays. */
import type { SourceSession } from '../../connectors/connector.ts';
import { batchTransaction, hasEarlierOpen, openBatch, readInOrder, requireOpenRun, type BatchStep, type OpenBatch } from '../../destinations/postgres/batch.ts';
import type { Session } from '../../destinations/postgres/destination.ts';
import { createCandidates, deleteAbsent, isCandidate, nextKeys, reopenKeys, stillListed, type DifferenceOwner, type FoundKey } from '../../destinations/postgres/difference.ts';
import { destinationError } from '../../destinations/postgres/errors.ts';
import { quoteTable } from '../../destinations/postgres/identifiers.ts';
import { findLedger, hasLaterBatch, readWatermark, writeLedger, type Counts } from '../../destinations/postgres/ledger.ts';
import { quarantineStage, type Merge } from '../../destinations/postgres/merge.ts';
import { copyInSql, dropStage, markDuplicates, prepareStage, stageCounts, stageName, type Stage } from '../../destinations/postgres/stage.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { copyRows, keepError } from '../copy-rows.ts';
import { loadPlan, withSource, type Engine, type OnProgress } from '../engine.ts';
import { mergeWithDeletes } from '../deletes/batch-deletes.ts';
import { stageDeletesOf } from '../deletes/target-deletes.ts';
import { requireSameShape } from '../source-shape.ts';
import { markPast } from '../../destinations/postgres/retention.ts';
import { retentionOf } from '../retention-plan.ts';
import type { StreamPlan } from '../stream-plan.ts';
import { touchLogOf } from '../touch-log.ts';
import { isPlain, planComparison, type Comparison } from './comparison.ts';
import { KEYS_AT_ONCE, lookAgain } from './settle.ts';

export interface RepairStep extends Omit<BatchStep, 'generation'> {
  /** Keys with ids up to this one were repaired before; `0` at first. */
  readonly after: string;
  /** Rows that the source no longer has may be deleted. */
  readonly mayDelete: boolean;
}

export interface Repaired {
  /** Id of the last key that was taken, for the next step; null where none is left. */
  readonly last: string | null;
  /** Keys that are equal now. */
  readonly repaired: number;
}

/**
 * Repairs the next settled keys of a stream. The caller holds the source's turn: no other batch of the stream is on its way, so what is read here
 * is the newest. Idempotent: a step that is in the ledger is not copied again. A ledger row of this kind counts a key that the source
 * proved absent as read and deleted. Throws `config.unsupported` for a stream with masks, transforms or rules.
 */
export async function repairKeys(engine: Engine, step: RepairStep, signal: AbortSignal, onProgress: OnProgress): Promise<Repaired> {
  const plan = await loadPlan(engine, step.source, step.stream);
  requirePlain(plan);
  const watermark = await readWatermark(engine.destination, step.source, step.stream);
  const owner: DifferenceOwner = step;
  return withSource(engine, step, signal, async (source) => {
    const comparison = await planComparison(engine, source, plan);
    const key = comparison.key.map(({ name }) => name);
    const keys = await engine.destination.session('reading differences', (session) => nextKeys(session, owner, key, true, step.after, KEYS_AT_ONCE));
    const last = keys.at(-1);
    if (last === undefined) return { last: null, repaired: 0 };
    const open = await openBatch(engine.destination, { ...step, generation: watermark?.generation ?? 1 });
    const done = await engine.destination.session('looking into the ledger', (session) => findLedger(session, open.batch));
    const attempt: Attempt = { engine, source, comparison, step, keys, signal, onProgress, generation: watermark?.generation ?? 1 };
    if (done === null) await copyAgain(attempt, open).catch((error: unknown) => Promise.reject(destinationError(error, 'repairing')));
    const ids = keys.map(({ id }) => id);
    await engine.destination.session('reopening differences', (session) => reopenKeys(session, ids));
    await lookAgain(engine, source, comparison, keys, signal, onProgress);
    const left = await engine.destination.session('counting differences', (session) => stillListed(session, ids));
    return { last: last.id, repaired: keys.length - left };
  });
}

interface Attempt {
  readonly engine: Engine;
  readonly source: SourceSession;
  readonly comparison: Comparison;
  readonly step: RepairStep;
  readonly generation: number;
  readonly keys: readonly FoundKey[];
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

async function copyAgain(attempt: Attempt, taken: OpenBatch): Promise<void> {
  const { engine, source, comparison, step, keys, signal } = attempt;
  const { plan } = comparison;
  // Slices of a backfill may be read at the same time: ids in the order of their snapshots tell which row is newer.
  const { open, read } = await readInOrder(engine.destination, step, taken, signal, async () =>
    keepError(source.readKeys === undefined
      ? await source.readPart(plan.read, { from: null, to: null, rowEstimate: plan.read.table.rowEstimate }, 'copy-text')
      : await source.readKeys(plan.read, keys.map(({ values }) => values), plan.format)),
  );
  const stage: Stage = { table: stageName(step.source, step.stream, 'repair'), columns: plan.columns, lenient: false };
  await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
    await prepareStage(session, stage, open.batch);
    await requireOpenRun(session, step.runId, open.batch);
    await createCandidates(session, keys.map(({ id }) => id), comparison.key);
    const copied = await copyRows(read, session, copyInSql(stage.table, plan.columns.map(({ name }) => name), read.format, { marked: read.marksRejects, fresh: true }), signal, attempt.onProgress, null);
    await requireSameShape(source, plan);
    const counts = await merge(session, attempt, stage, open.batch, source.readKeys === undefined);
    await writeLedger(session, { ...counts, batch: open.batch, source: step.source, stream: step.stream, runId: step.runId, generation: attempt.generation, kind: 'repair', from: null, to: null, bytes: copied.bytes, hash: copied.hash });
    await session.query("update tidemark.batch set state = 'loaded', backend = null where batch = $1", [open.batch]);
    await dropStage(session, stage.table);
  }).finally(() => read.stream.destroy());
}

async function merge(session: Session, { comparison, step, generation }: Attempt, stage: Stage, batch: number, whole: boolean): Promise<Counts> {
  const { plan } = comparison;
  if (whole) await keepCandidates(session, stage, plan.key);
  if (!plan.keyProven) await markDuplicates(session, stage, plan.key, plan.cursor);
  const into: Merge = {
    stage,
    into: plan.target,
    key: plan.key,
    onKnownKey: plan.mode === 'append' ? 'keep' : 'update',
    batch,
    marked: true,
    mayBeOlder: await hasLaterBatch(session, step.source, step.stream, batch),
    touchLog: touchLogOf(plan),
    confirms: await hasEarlierOpen(session, step.source, step.stream, batch),
    deletes: stageDeletesOf(plan),
  };
  const retention = retentionOf(plan);
  if (retention !== null) await markPast(session, stage, retention);
  const marks = await stageCounts(session, stage.table);
  const merged = await mergeWithDeletes(session, plan, into, { runId: step.runId, generation, building: false, slice: true });
  if (marks.rejected > 0) await quarantineStage(session, into, step.source, step.stream);
  // A rejected row has lost its key, so with one of them absence is not proven.
  const absent = step.mayDelete && marks.rejected === 0 ? await deleteAbsent(session, plan.target, stage.table, plan.key, comparison.target.where, batch, touchLogOf(plan), plan.deletes?.apply === 'soft' && plan.marksDeletes === true) : 0;
  const { rows } = await session.query<{ n: number }>(`select count(*)::int as n from ${quoteTable(stage.table)}`);
  const staged = rows[0]!.n;
  const superseded = marks.superseded + merged.older;
  return { read: staged + absent, written: merged.written, rejected: marks.rejected, superseded, deleted: merged.deleted + absent, unchanged: staged - merged.written - merged.deleted - marks.rejected - superseded };
}

/** A source that can't be asked for keys sent the whole table. */
async function keepCandidates(session: Session, stage: Stage, key: readonly string[]): Promise<void> {
  await session.query(`delete from ${quoteTable(stage.table)} t where not (${isCandidate(key)})`);
}

function requirePlain(plan: StreamPlan): void {
  if (isPlain(plan)) return;
  throw new TidemarkError('config.unsupported', `Stream ${plan.stream} has masks, transforms or rules, which a repair does not apply.`, { hint: 'Run tidemark sync --full for the stream: it builds the target anew, with them applied.' });
}
