/** What starts the workflow of one stream's sync, and how it ends. */
import type { StreamCounts, StreamStatus } from '../schemas/run.ts';

export interface SyncStreamInput {
  readonly runId: string;
  readonly source: string;
  readonly stream: string;
  readonly full: boolean;
  /** Ends with a scan for deleted rows, whether one is due or not. */
  readonly detectDeletes?: boolean;
  /** Which poll of the run this is: batches of different polls are different batches. */
  readonly poll: number;
  /** Task queue of the source's activities. */
  readonly queue: string;
  /** 1 first. */
  readonly priority: number;
  /** Counts of the executions before this one, where a long sync went on as a new one. */
  readonly before?: StreamCounts;
  /** Failed attempts of those executions; see FAILED_ATTEMPTS_MAX. */
  readonly failedAttempts?: number;
  readonly chapter?: number;
}

export interface StreamOutcome {
  readonly status: StreamStatus;
  readonly counts: StreamCounts;
}
