import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { faultPoint } from '../pipeline/fault-point.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { OnProgress } from '../pipeline/engine.ts';

/** Failures that the same activity can't mend: the workflow reads the batch again from the start. */
const WHOLE_BATCH_AGAIN: readonly string[] = ['batch.fenced', 'batch.stage_lost', 'batch.equation'];
/** Failures that end the stream's run: it would be tried for hours. */
const NEXT_RUN: readonly string[] = ['source.outside_read_window', 'source.breaker_open'];

/** Often enough that a cancel reaches the source within a few seconds. */
const HEARTBEAT_INTERVAL_MS = 1_000;

/**
 * Runs one step of the pipeline as an activity: heartbeats from a timer and with the latest progress, hands over the
 * cancellation signal, and turns errors into failures that Temporal retries or not as the error says.
 */
export async function asActivity<T>(work: (signal: AbortSignal, onProgress: OnProgress) => Promise<T>): Promise<T> {
  const context = Context.current();
  let bytes = 0;
  const timer = setInterval(() => context.heartbeat({ bytes }), HEARTBEAT_INTERVAL_MS);
  try {
    await faultPoint('P0', context.info.activityType);
    const result = await work(context.cancellationSignal, (progress) => {
      bytes = progress.bytes;
    });
    await faultPoint('P8', context.info.activityType);
    return result;
  } catch (error) {
    throw asFailure(error, context.cancellationSignal.aborted);
  } finally {
    clearInterval(timer);
  }
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
