import type { ErrorInfo } from './errors.ts';

/** How a stream stands, as `status` and `sync` print it. */
export type StreamStatus = 'completed' | 'running' | 'paused' | 'parked' | 'skipped' | 'history_lost' | 'disabled';

/** Nothing is left to do for the stream in its run. */
export function isDone({ status }: { readonly status: string }): boolean {
  return status === 'completed' || status === 'disabled';
}

/** Who asked for a run. A `window` covers polls every few seconds; `schedule` is one poll of an interval or a cron expression. */
export type Trigger = 'manual' | 'schedule' | 'window';

/** What a run is to do. */
export interface RunScope {
  /** Null: all streams of the source. */
  readonly streams: readonly string[] | null;
  /** Builds a new generation of each. */
  readonly full: boolean;
  /** Scans for deleted rows, whether one is due or not. Absent: only where one is due. */
  readonly detectDeletes?: boolean;
  /** Absent: a sync. */
  readonly kind?: 'reconcile' | 'backfill';
}

/** Counts of one batch; `read = written + unchanged + rejected + superseded + deleted`. */
export interface BatchCounts {
  readonly read: number;
  readonly written: number;
  readonly unchanged: number;
  readonly rejected: number;
  readonly superseded: number;
  readonly deleted: number;
}

/** Counts of a stream in a run; ids, states and counts only, so that it may cross Temporal. */
export interface StreamCounts extends BatchCounts {
  readonly batches: number;
  readonly bytes: number;
}

export const NO_COUNTS: StreamCounts = { batches: 0, read: 0, written: 0, unchanged: 0, rejected: 0, superseded: 0, deleted: 0, bytes: 0 };

export function addCounts(a: StreamCounts, b: StreamCounts): StreamCounts {
  return {
    batches: a.batches + b.batches,
    read: a.read + b.read,
    written: a.written + b.written,
    unchanged: a.unchanged + b.unchanged,
    rejected: a.rejected + b.rejected,
    superseded: a.superseded + b.superseded,
    deleted: a.deleted + b.deleted,
    bytes: a.bytes + b.bytes,
  };
}

/** One line of `sync --json`. */
export interface StreamResult extends StreamCounts {
  readonly source: string;
  readonly stream: string;
  readonly target: string;
  readonly status: StreamStatus;
  readonly mode: string;
  readonly runId: string;
  readonly seconds: number;
  readonly watermark: { readonly from: string | null; readonly to: string | null };
  readonly error: ErrorInfo | null;
  /** Plain warnings: a full refresh because there is no cursor, rows beyond the future limit. */
  readonly notes: readonly string[];
}
