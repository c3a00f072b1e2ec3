import { carryDeleted } from '../../destinations/postgres/carry-deleted.ts';
import type { Session } from '../../destinations/postgres/session.ts';
import type { Swap } from '../../destinations/postgres/swap.ts';
import type { StreamPlan } from '../stream-plan.ts';
import { tellDeletes } from './batch-deletes.ts';

/** A full refresh of a stream with soft deletes loses no row: what the source does not have any more stands marked in the new build. */
export async function carryMarked(session: Session, plan: StreamPlan, swap: Swap): Promise<void> {
  if (plan.deletes?.apply !== 'soft' || plan.marksDeletes !== true || plan.key.length === 0) return;
  const deleted = await carryDeleted(session, swap, plan.key);
  if (deleted > 0) await tellDeletes(session, plan, { batch: null, detect: 'refresh', deleted });
}
