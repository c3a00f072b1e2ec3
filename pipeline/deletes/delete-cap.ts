/** The cap on deletes: what goes beyond it waits for a person, and an approval lets through exactly what was planned. */
import { askApproval, findApproved, useApproval, type Approval, type ApprovalRequest } from '../../destinations/postgres/approvals.ts';
import { countLive, deletedInRun, type Gone } from '../../destinations/postgres/deletes.ts';
import type { Destination, Session } from '../../destinations/postgres/destination.ts';
import { formatTableName } from '../../destinations/postgres/identifiers.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { StreamPlan } from '../stream-plan.ts';

/** Deletes that are found and not yet made. */
export interface Deletion {
  readonly by: 'tombstone' | 'scan';
  readonly runId: string;
  readonly generation: number;
  readonly batch: number;
  readonly gone: Gone;
  /** A reason to ask whatever the share; null: only the cap counts. */
  readonly doubt: string | null;
}

/** Thrown out of the transaction that would have deleted; {@link askToDelete} writes the request once that is rolled back. */
export class DeletesNotApproved extends TidemarkError {
  readonly request: ApprovalRequest;

  constructor(request: ApprovalRequest) {
    super('target.deletes_above_cap', request.detail);
    this.request = request;
  }
}

/**
 * Returns the approval that lets the deletes through, or null where none is needed. To be used up by {@link useDeleteApproval} in the same transaction.
 * Batches of one run count together, so that many small ones do not pass where a large one would not. Throws {@link DeletesNotApproved}.
 */
export async function guardDeletes(session: Session, plan: StreamPlan, deletion: Deletion): Promise<Approval | null> {
  const { gone, runId, generation } = deletion;
  if (gone.rows === 0) return null;
  const before = deletion.by === 'tombstone' ? await deletedInRun(session, plan, runId) : 0;
  const wanted = gone.rows + before;
  const marks = plan.marksDeletes === true;
  if (deletion.doubt === null && plan.deleteCap > 0) {
    // Counting stops where the cap is known to hold, so a few deletes cost little on a large table.
    const live = await countLive(session, plan.target, marks, wanted / plan.deleteCap);
    if (wanted <= (live + before) * plan.deleteCap) return null;
  }
  const fingerprint = `${deletion.by} ${generation} ${gone.rows} ${gone.hash}`;
  const approved = await findApproved(session, { source: plan.source, stream: plan.stream, action: 'delete', fingerprint });
  if (approved !== null) return approved;
  const live = await countLive(session, plan.target, marks, null);
  const target = formatTableName(plan.target);
  const how = deletion.by === 'scan' ? 'a scan found missing at the source' : 'a batch says are deleted';
  const also = before === 0 ? '' : ` Batches of this run have deleted ${grouped(before)} before.`;
  throw new DeletesNotApproved({
    source: plan.source,
    stream: plan.stream,
    action: 'delete',
    fingerprint,
    detail: `${grouped(gone.rows)} of ${grouped(live)} rows of ${target}, which ${how}, would be deleted.${also}${deletion.doubt === null ? '' : ` ${deletion.doubt}`}`,
    facts: { target, rows: gone.rows, of: live, detect: deletion.by, apply: plan.deletes?.apply ?? null, generation },
    runId,
  });
}

/** Uses the approval up and notes the batch that it let through. */
export async function useDeleteApproval(session: Session, approval: Approval | null, batch: number): Promise<void> {
  if (approval === null) return;
  await useApproval(session, approval.id);
  await session.query("update tidemark.approval set facts = facts || jsonb_build_object('batch', $2::bigint) where tidemark.approval.id = $1", [approval.id, batch]);
}

/** Nothing waits any more: what an open request was about has come through without it, or is not there any more. */
export async function closeRequests(session: Session, plan: StreamPlan, by: Deletion['by']): Promise<void> {
  await session.query("update tidemark.approval set state = 'outdated' where source = $1 and stream = $2 and action = 'delete' and state in ('pending', 'approved') and fingerprint like $3", [plan.source, plan.stream, `${by} %`]);
}

/** Writes the request and returns it with the error that says what to do next. Idempotent. */
export async function askToDelete(destination: Destination, { request }: DeletesNotApproved, alsoThen: (session: Session, approval: Approval) => Promise<void> = async () => undefined): Promise<{ readonly approval: Approval; readonly error: TidemarkError }> {
  const approval = await destination.transaction('asking for a decision', async (session) => {
    const asked = await askApproval(session, request);
    await alsoThen(session, asked);
    return asked;
  });
  return { approval, error: notApproved(approval) };
}

/** Why a stream stops at deletes that nobody has approved: they wait for a decision, or were rejected. */
export function notApproved(approval: Approval): TidemarkError {
  if (approval.state === 'rejected') {
    return new TidemarkError('run.approval_rejected', `${approval.detail} This was rejected, so nothing is deleted.`, { hint: 'Correct the source, or raise delete_cap of the stream; then run tidemark retry.' });
  }
  return new TidemarkError('target.deletes_above_cap', `${approval.detail} Nothing was deleted.`, {
    hint: `Check that the source was not truncated and that its user sees all rows. tidemark approve ${approval.id} deletes exactly these, tidemark reject ${approval.id} keeps them.`,
  });
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
