import { ActivityFailure, ApplicationFailure, ChildWorkflowFailure, TimeoutFailure } from '@temporalio/workflow';
import { ERROR_CODES, type ErrorCode, type ErrorInfo } from '../schemas/errors.ts';
import type { StreamStatus } from '../schemas/run.ts';
import { FAILED_ATTEMPTS_MAX } from './activity-options.ts';

export const CANCELLED: ErrorInfo = { code: 'batch.cancelled', message: 'The sync was cancelled.', hint: 'The next sync goes on from the watermark.' };

export const UNSTABLE: ErrorInfo = {
  code: 'run.unstable',
  message: `More than ${FAILED_ATTEMPTS_MAX} attempts failed in one run, though batches were loaded in between.`,
  hint: "The worker's log and Temporal's UI have what failed. What was loaded stays: the stream goes on from there.",
};

/** What a failed activity or child says, as data. */
export function errorOf(failure: unknown): ErrorInfo {
  let cause: unknown = failure;
  while ((cause instanceof ActivityFailure || cause instanceof ChildWorkflowFailure) && cause.cause !== undefined) cause = cause.cause;
  if (cause instanceof ApplicationFailure) {
    const info = cause.details?.[0];
    if (isErrorInfo(info)) return info;
  }
  if (cause instanceof TimeoutFailure) {
    return { code: 'internal.unexpected', message: 'No worker finished the step in time.', hint: 'Check that workers are running: tidemark worker.' };
  }
  return { code: 'internal.unexpected', message: 'Something unexpected failed.', hint: "The worker's log has the place where it happened." };
}

/**
 * These pass by themselves: the next run finds a session, the hours in which the source may be read, a replica that has caught up, or the primary
 * in the place of a fallback that can't be used.
 */
const PASSES: readonly ErrorCode[] = ['source.sessions_busy', 'source.outside_read_window', 'source.replica_behind', 'source.fallback_unusable'];

/** How a stream stands after an error that outlasted its retries. A source that can't be reached never parks a stream. */
export function statusAfter(error: ErrorInfo): StreamStatus {
  if (error.code === 'source.history_lost') return 'history_lost';
  return ERROR_CODES[error.code].retry === 'unreachable' || PASSES.includes(error.code) ? 'skipped' : 'parked';
}

/** True where the whole batch is to be read again, since the failed step can't mend it. */
export function wantsWholeBatch(failure: unknown): boolean {
  const code: ErrorCode = errorOf(failure).code;
  return code === 'batch.fenced' || code === 'batch.stage_lost' || code === 'batch.equation';
}

/** What a batch says where the table, or the target, is not what the run's plan was made for. */
const OUTGROWN: readonly ErrorCode[] = [
  'source.schema_changed', 'source.column_missing', 'source.table_missing', 'source.key_missing', 'source.cursor_missing', 'source.cursor_unusable', 'source.type_unsupported', 'target.column_conflict',
];

/** True where the stream is to be prepared again: that finds out what has changed, and whether the run can go on. */
export function wantsNewPlan(failure: unknown): boolean {
  return OUTGROWN.includes(errorOf(failure).code);
}

/** A failure of the workflow itself, so that Temporal's UI shows red where not all is well, and says why. */
export function failureOf(error: ErrorInfo): ApplicationFailure {
  return ApplicationFailure.create({
    type: error.code,
    message: error.hint === null ? error.message : `${error.message} ${error.hint}`,
    nonRetryable: true,
    details: [error],
  });
}

function isErrorInfo(value: unknown): value is ErrorInfo {
  return typeof value === 'object' && value !== null && 'code' in value && typeof value.code === 'string' && value.code in ERROR_CODES;
}
