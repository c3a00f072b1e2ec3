import { emitEvent } from '../destinations/postgres/events.ts';
import { saveShape, type FollowedShape } from '../destinations/postgres/shapes.ts';
import type { Session } from '../destinations/postgres/destination.ts';
import type { StreamPlan } from './stream-plan.ts';

/** Remembers the table that the target follows from here on, and tells of what changed, in the transaction that makes it so. */
export async function followShape(session: Session, plan: Pick<StreamPlan, 'source' | 'stream'>, followed: FollowedShape): Promise<void> {
  await saveShape(session, plan.source, plan.stream, followed.shape);
  if (followed.news !== null) await emitEvent(session, { type: 'SchemaChanged', source: plan.source, stream: plan.stream, data: followed.news });
}
