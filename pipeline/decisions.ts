/** What people have decided about a stream, as its next run has to know it. */
import { findOpen, type Approval } from '../destinations/postgres/approvals.ts';
import type { Session } from '../destinations/postgres/destination.ts';
import type { BuildStart } from './build.ts';
import { waitsForDecision } from './shrink.ts';
import type { Strategy } from './stream-plan.ts';

export interface Decisions {
  /** The stream is to be built from nothing. */
  readonly reset: boolean;
  /** A build was begun before that was decided. */
  readonly staleBuild: boolean;
  /** The finished build that waits for a decision, or has been approved; null where there is none. */
  readonly swap: Approval | null;
}

export async function readDecisions(session: Session, source: string, stream: string): Promise<Decisions> {
  const reset = await findOpen(session, { source, stream, action: 'reset' });
  const { rows } = await session.query<{ stale: boolean }>(
    `select exists (select from tidemark.generation g join tidemark.approval a on a.source = g.source and a.stream = g.stream and a.action = 'reset' and a.state = 'approved'
       where g.source = $1 and g.stream = $2 and g.state = 'building' and g.created_at < a.decided_at) as stale`,
    [source, stream],
  );
  return { reset: reset?.state === 'approved', staleBuild: rows[0]!.stale, swap: await findOpen(session, { source, stream, action: 'swap' }) };
}

/**
 * How a build is to begin. Throws `target.shrinks` for a stream that would be built anew in every run while a finished build still waits for
 * a decision: one build is enough to decide about.
 */
export function buildStart(decisions: Decisions, strategy: Strategy, full: boolean): BuildStart {
  if (full || decisions.staleBuild) return 'fresh';
  if (decisions.swap === null) return 'usual';
  if (decisions.swap.state === 'pending' && strategy === 'rebuild') throw waitsForDecision(decisions.swap);
  return decisions.swap.state === 'approved' ? 'approved' : 'usual';
}
