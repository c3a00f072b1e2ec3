import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { faultPoint } from '../pipeline/fault-point.ts';
import { letHeapGrow } from '../runtime/heap-growth.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { OnProgress } from '../pipeline/engine.ts';

/** Failures that the same activity can't mend: the workflow reads the batch again from the start. */
const WHOLE_BATCH_AGAIN: readonly string[] = ['batch.fenced', 'batch.stage_lost', 'batch.equation'];
/** Failures that end the stream's run: it would be tried for hours. */
const NEXT_RUN: readonly string[] = ['source.outside_read_window', 'source.breaker_open'];

/** Often enough that a cancel reaches the source within a few seconds. */
const HEARTBEAT_INTERVAL_MS = 1_000;
/** A step that leaves more than this behind may let the heap grow meanwhile. */
const GARBAGE_BYTES = 32 * 1024 * 1024;

/**
 * Runs one step of the pipeline as an activity: heartbeats from a timer and with the latest progress, hands over the
 * cancellation signal, and turns errors into failures that Temporal retries or not as the error says.
 */
export async function asActivity<T>(work: (signal: AbortSignal, onProgress: OnProgress) => Promise<T>): Promise<T> {
  const context = Context.current();
  const unreachable = unreachableBefore();
  let bytes = 0;
  const growth: { end?: () => void } = {};
  // Of a local activity the server knows nothing: the worker that runs it is the one that waits for it.
  const timer = context.info.isLocal ? undefined : setInterval(() => context.heartbeat({ bytes, unreachable }), HEARTBEAT_INTERVAL_MS);
  try {
    await faultPoint('P0', context.info.activityType);
    const result = await work(context.cancellationSignal, (progress) => {
      bytes = progress.bytes;
      if (progress.garbage > GARBAGE_BYTES) growth.end ??= letHeapGrow();
    });
    await faultPoint('P8', context.info.activityType);
    return result;
  } catch (error) {
    if (error instanceof TidemarkError && error.retry === 'unreachable' && !context.info.isLocal) context.heartbeat({ bytes, unreachable: unreachable + 1 });
    throw asFailure(error, context.cancellationSignal.aborted);
  } finally {
    clearInterval(timer);
    growth.end?.();
  }
}

/** Of an activity's result: attempts before this one that failed, other than because an end could not be reached. */
export interface Attempted {
  readonly failedAttempts?: number;
}

/** {@link asActivity} that also says how many attempts failed before, for the budget of its stream. */
export async function asCountedActivity<T extends object>(work: (signal: AbortSignal, onProgress: OnProgress) => Promise<T>): Promise<T & Attempted> {
  const failedAttempts = Math.max(0, Context.current().info.attempt - 1 - unreachableBefore());
  return { ...(await asActivity(work)), failedAttempts };
}

/** Earlier attempts note in their last heartbeat how many of them could not reach an end. */
function unreachableBefore(): number {
  const details: unknown = Context.current().info.heartbeatDetails;
  return typeof details === 'object' && details !== null && 'unreachable' in details && typeof details.unreachable === 'number' ? details.unreachable : 0;
}

/** The failure's `type` is the error's code; its details hold what may be shown. An error that is not ours says nothing of itself. */
function asFailure(error: unknown, cancelled: boolean): Error {
  if (cancelled) return new CancelledFailure('The batch was cancelled.');
  const known = error instanceof TidemarkError ? error : new TidemarkError('internal.unexpected', 'Something unexpected failed.', { hint: "The worker's log has the place where it happened.", cause: error });
  const failure = ApplicationFailure.create({
    type: known.code,
    message: known.hint === null ? known.message : `${known.message} ${known.hint}`,
    nonRetryable: known.retry === 'permanent' || [...WHOLE_BATCH_AGAIN, ...NEXT_RUN].includes(known.code),
    details: [known.info()],
    ...(known.retryAfterMs === undefined ? {} : { nextRetryDelay: known.retryAfterMs }),
  });
  if (known.code === 'internal.unexpected') Context.current().log.error('unexpected error', { error: known });
  return failure;
}

/** The workflow whose step this is. */
export function startedBy(): { readonly workflowId: string; readonly runId: string } {
  const { workflowExecution } = Context.current().info;
  if (workflowExecution === undefined) throw new TidemarkError('internal.unexpected', 'This activity was not started by a workflow.');
  return workflowExecution;
}
