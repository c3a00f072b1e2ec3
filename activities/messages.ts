/** What workflows and activities say to each other: ids, counts and states; never a row, a key or a secret. */
import type { ErrorInfo } from '../schemas/errors.ts';
import type { RunScope, StreamCounts, StreamStatus, Trigger } from '../schemas/run.ts';

export interface RunRef {
  readonly runId: string;
  readonly source: string;
}

export interface StreamRef extends RunRef {
  readonly stream: string;
}

export interface RunRequest extends RunRef {
  readonly trigger: Trigger;
  readonly scope: RunScope;
  readonly workflowId: string;
  readonly workflowRunId: string;
}

/**
 * - `active`: this run is the source's only one now.
 * - `waiting`: another is active; ask again.
 * - `shared`: one that waits already does the same; its end is this one's.
 */
export type Turn = { readonly state: 'active' | 'waiting' } | { readonly state: 'shared'; readonly runId: string };

export interface CheckRequest extends RunRef {
  readonly trigger: Trigger;
  readonly scope: RunScope;
  /** 0 for the first poll of a run. */
  readonly poll: number;
  /** Of a window: the interval it was started with. */
  readonly everySeconds: number | null;
}

export interface CheckedSource {
  /** Streams that may have something new, in the file's order. */
  readonly changed: readonly string[];
  /** How many were found complete, paused, parked or disabled, and need no workflow of their own. */
  readonly settled: number;
  /** The source's schedule is not the one that this window was started by: it ends, and another takes over or none. */
  readonly over: boolean;
  /** A run that a person asked for waits for this one. */
  readonly giveWay: boolean;
  /** Task queue of the source's activities and their priority, 1 first. */
  readonly queue: string;
  readonly priority: number;
}

export interface StreamEndRequest extends StreamRef {
  readonly status: StreamStatus;
  readonly error: ErrorInfo | null;
  readonly notes: readonly string[];
}

export interface RunSummary {
  readonly runId: string;
  readonly source: string;
  readonly status: 'completed' | 'failed' | 'cancelled';
  readonly streams: readonly (StreamCounts & { readonly stream: string; readonly status: StreamStatus; readonly error: ErrorInfo | null })[];
}

export interface ReconcileOpenRequest extends RunRef {
  /** Null: all streams. */
  readonly streams: readonly string[] | null;
  /** Absent: a person. */
  readonly trigger?: 'manual' | 'schedule';
  readonly workflowId: string;
  readonly workflowRunId: string;
}

export interface ReconcileOpen {
  /** Streams to compare, in the file's order, each with the share of rows that may be deleted without asking. */
  readonly streams: readonly { readonly stream: string; readonly deleteCap: number }[];
  readonly queue: string;
}
