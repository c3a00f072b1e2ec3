import type { Session } from '../destinations/postgres/destination.ts';

/** One change that a target needs before rows can arrive; `plan` shows it, `apply` makes it. */
export interface TargetChange {
  readonly action: 'create_table' | 'add_column' | 'add_key' | 'alter_column' | 'accept_schema';
  readonly object: string;
  readonly destructive: boolean;
  readonly detail: string;
  readonly make: (session: Session) => Promise<void>;
}
