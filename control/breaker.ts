/** The breaker of a source as `status` shows it, and how a person closes it. */
import { forceClosed, type BreakerRow, type ConnectionName } from '../destinations/postgres/breaker.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import type { ErrorCode } from '../schemas/errors.ts';

/** `breaker` in `status --json`: of the primary connection. */
export interface BreakerReport {
  readonly state: 'closed' | 'open' | 'half_open';
  /** Connection failures in a row. */
  readonly failures: number;
  /** Since when it is not closed; ISO 8601, UTC. */
  readonly since: string | null;
  /** From when on it is tried again. */
  readonly retryAt: string | null;
  readonly lastError: ErrorCode | null;
}

export interface SourceConnection {
  readonly breaker: BreakerReport;
  /** The connection that the source was last read on. */
  readonly connection: ConnectionName;
  /** What a person should know of it; null where all is well. */
  readonly warning: string | null;
}

const CLOSED: BreakerReport = { state: 'closed', failures: 0, since: null, retryAt: null, lastError: null };

/** How a source is reached, from all rows of breakers. */
export function connectionOf(rows: readonly BreakerRow[], source: string): SourceConnection {
  const row = (name: ConnectionName) => rows.find((each) => each.source === source && each.connection === name);
  const primary = row('primary');
  const connection = row('fallback')?.serving === true ? 'fallback' : 'primary';
  const closed = primary === undefined || primary.state === 'closed';
  const breaker: BreakerReport = primary === undefined ? CLOSED : { state: primary.state, failures: primary.failures, since: primary.openedAt, retryAt: primary.retryAt, lastError: closed && primary.failures === 0 ? null : primary.lastError };
  if (closed) return { breaker, connection, warning: null };
  const reads = connection === 'fallback' ? '; it is read from its fallback' : '';
  return { breaker, connection, warning: `the breaker of ${source} is ${breaker.state.replace('_', ' ')} since ${breaker.since} (${breaker.lastError})${reads}; tried again from ${breaker.retryAt} on` };
}

/** Closes what is open. Returns which connections' breakers were; none is fine. */
export async function closeBreaker(destination: Destination, source: string): Promise<ConnectionName[]> {
  return destination.transaction('closing a breaker', (session) => forceClosed(session, source));
}
