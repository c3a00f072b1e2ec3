import type { Session } from '../destinations/postgres/destination.ts';

/** One thing that `apply` would do. */
export interface PlannedChange {
  readonly id: string;
  readonly action: string;
  readonly object: string;
  readonly destructive: boolean;
  readonly detail: string;
}

/** A change with the hand that makes it. */
export interface Change extends Omit<PlannedChange, 'id'> {
  /** The stream that it is about. */
  readonly stream?: string;
  /** Unless it is approved the stream keeps its settings as applied. */
  readonly holds?: boolean;
  /** What its id is made of where `detail` holds more, such as a count. */
  readonly identity?: string;
  readonly make?: (session: Session) => Promise<void>;
}
