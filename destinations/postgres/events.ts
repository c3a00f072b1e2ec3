/** The outbox: an event is written in the transaction in which what it tells of happens, and is delivered afterwards, at least once. */
import type { Session } from './session.ts';

export type EventType =
  | 'DataSynced'
  | 'StreamParked'
  | 'StreamResumed'
  | 'SchemaChanged'
  | 'BatchRejected'
  | 'FreshnessMissed'
  | 'FreshnessRestored'
  | 'ApprovalRequested'
  | 'DeletesApplied'
  | 'RetentionApplied'
  | 'BreakerOpened'
  | 'BreakerClosed';

export interface TidemarkEvent {
  readonly type: EventType;
  readonly source: string;
  /** Null where it concerns the source as a whole. */
  readonly stream: string | null;
  /** Ids, names, counts, codes; never a row, a key or a secret. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** Writes an event in the caller's transaction: it stands only if that commits. */
export async function emitEvent(session: Session, event: TidemarkEvent): Promise<void> {
  await session.query('insert into tidemark.event (type, source, stream, data) values ($1, $2, $3, $4)', [event.type, event.source, event.stream, JSON.stringify(event.data)]);
}
