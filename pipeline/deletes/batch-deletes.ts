/** The merge of a batch together with the deletes that it brings: below the cap, or as a person has approved. */
import { findTombstoned, keepTombstoned, tombstoneOf, type StreamName } from '../../destinations/postgres/deletes.ts';
import { emitEvent } from '../../destinations/postgres/events.ts';
import { formatTableName, quoteTable } from '../../destinations/postgres/identifiers.ts';
import { mergeStage, type Merge, type Merged } from '../../destinations/postgres/merge.ts';
import { REJECT_COLUMN, SUPERSEDED_COLUMN } from '../../destinations/postgres/stage.ts';
import type { Session } from '../../destinations/postgres/session.ts';
import type { StreamPlan } from '../stream-plan.ts';
import { closeRequests, guardDeletes, useDeleteApproval } from './delete-cap.ts';

export interface DeletingBatch {
  readonly runId: string;
  readonly generation: number;
  /** Readers do not see the generation yet: its swap has a cap of its own. */
  readonly building: boolean;
  /** A slice of a backfill, beside the live batches. */
  readonly slice: boolean;
}

/** Like `mergeStage`. Throws `DeletesNotApproved` before anything is written where tombstones would delete too many rows. */
export async function mergeWithDeletes(session: Session, plan: StreamPlan, merge: Merge, batch: DeletingBatch): Promise<Merged> {
  if ((merge.deletes?.tombstone ?? null) === null) return mergeStage(session, merge);
  const gone = await findTombstoned(session, merge);
  const approval = batch.building ? null : await guardDeletes(session, plan, { by: 'tombstone', runId: batch.runId, generation: batch.generation, batch: merge.batch, gone, doubt: null });
  const merged = await mergeStage(session, merge, gone);
  if (merge.deletes?.apply === 'hard' && merge.key.length > 0) await keepTombstoned(session, plan, merge);
  await useDeleteApproval(session, approval, merge.batch);
  if (!batch.building && !batch.slice) await closeRequests(session, plan, 'tombstone');
  if (merged.deleted > 0 && !batch.building) await tellDeletes(session, plan, { batch: merge.batch, detect: 'tombstone', deleted: merged.deleted });
  return merged;
}

export interface AppliedDeletes {
  /** Null: a full refresh, whose batches are many. */
  readonly batch: number | null;
  readonly detect: 'tombstone' | 'scan' | 'refresh';
  readonly deleted: number;
}

export async function tellDeletes(session: Session, plan: StreamPlan, applied: AppliedDeletes): Promise<void> {
  const { source, stream }: StreamName = plan;
  await emitEvent(session, { type: 'DeletesApplied', source, stream, data: { target: formatTableName(plan.target), apply: plan.deletes?.apply ?? null, ...applied } });
}

/** Good rows of the stage that a merge passes over, since they are deleted and a build does not take them up. */
export async function countPassedOver(session: Session, merge: Merge): Promise<number> {
  const tombstone = merge.deletes?.apply === 'hard' ? tombstoneOf(merge.stage, merge.deletes) : null;
  if (tombstone === null) return 0;
  const good = merge.marked ? `s.${REJECT_COLUMN} is null and s.${SUPERSEDED_COLUMN} is not true and ` : '';
  const { rows } = await session.query<{ n: string }>(`select count(*) as n from ${quoteTable(merge.stage.table)} s where ${good}${tombstone}`);
  return Number(rows[0]!.n);
}
