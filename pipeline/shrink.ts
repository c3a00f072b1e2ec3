/** A finished build that has far fewer rows than its target is kept beside it until a person has decided. */
import { askApproval, findOpen, type Approval } from '../destinations/postgres/approvals.ts';
import type { Session } from '../destinations/postgres/destination.ts';
import { formatTableName } from '../destinations/postgres/identifiers.ts';
import { shrinksTooFar, type Swap, type SwapCounts } from '../destinations/postgres/swap.ts';
import { TidemarkError } from '../schemas/errors.ts';

/**
 * Null where the build may take the target's place: not too many rows vanish, or a person has approved that as many vanish by this very build.
 * Else the request that waits, written in the caller's transaction, which must then commit without the swap. Idempotent.
 */
export async function askWhereShrinking(session: Session, swap: Swap, counts: SwapCounts, runId: string | null): Promise<Approval | null> {
  if (counts.after === null || !shrinksTooFar(swap, counts)) return null;
  const { source, stream, building: { generation } } = swap;
  const { past, after } = counts;
  const before = counts.before - past;
  const open = await findOpen(session, { source, stream, action: 'swap' });
  if (open?.state === 'approved' && open.facts['generation'] === generation && before - after <= Number(open.facts['vanish'])) return null;
  return askApproval(session, {
    source,
    stream,
    action: 'swap',
    fingerprint: `generation ${generation}: ${before} to ${after} rows`,
    detail: `The new build of ${formatTableName(swap.target)} has ${grouped(after)} rows, the target has ${grouped(before)}${past === 0 ? '' : ` within its retention`}.`,
    facts: { generation, before, past, after, vanish: before - after, target: formatTableName(swap.target) },
    runId,
  });
}

/** What parks a stream whose finished build waits for a decision. */
export function waitsForDecision(approval: Approval): TidemarkError {
  if (approval.state === 'rejected') {
    return new TidemarkError('run.approval_rejected', `${approval.detail} It was rejected and dropped; the target stays as it is.`, { hint: 'Correct the source, then run tidemark retry.' });
  }
  return new TidemarkError('target.shrinks', `${approval.detail} More would vanish than delete_cap allows; the build waits beside the target for a decision.`, {
    hint: `Check that the source was not truncated and that its user sees all rows. tidemark approve ${approval.id} swaps the build in, tidemark reject ${approval.id} drops it.`,
  });
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
