import { CancelledFailure, Context } from '@temporalio/activity';
import { createStreamActivities, type StreamActivityDeps } from './stream-activities.ts';
import type { StreamRef } from './messages.ts';
import { whenThereIsRoom } from './polls-at-once.ts';

/** A poll syncs up to this many rows of a stream by itself; a stream with more is left to a workflow of its own, all of them. */
const POLL_ROWS_MAX = 20_000;

export interface PollSyncRequest extends StreamRef {
  /** The step that the stream's own workflow would begin with: whichever of the two goes on finds what the other has done. */
  readonly step: string;
}

export type PollSyncActivities = ReturnType<typeof createPollSyncActivities>;

/**
 * The steps of a stream's sync in one call, for a poll that found a little: seven round trips through Temporal would cost more than the rows.
 * Each step is the one of {@link createStreamActivities}, with its own idempotency.
 */
export function createPollSyncActivities(deps: StreamActivityDeps) {
  const steps = createStreamActivities({ ...deps, engine: { ...deps.engine, batchRowsMax: POLL_ROWS_MAX, wholeRangesOnly: true } });
  return {
    /**
     * True where the stream is complete and closed. False where its own workflow has to go on: more rows than a poll takes, a build, a scan for
     * deleted rows, a pause, or a failure, which is that workflow's to try again and to judge. Throws only where it was cancelled.
     */
    async syncInPoll(request: PollSyncRequest): Promise<boolean> {
      return whenThereIsRoom(() => syncNow(request));
    },
  };

  async function syncNow({ step, ...stream }: PollSyncRequest): Promise<boolean> {
    try {
      const prepared = await steps.prepareStream({ ...stream, full: false });
      if (prepared.action !== 'increment' || prepared.scan === true) return false;
      const extracted = await steps.extractBatch({ ...stream, step, generation: prepared.generation });
      const batch = { batch: extracted.batch, part: null };
      if (extracted.needsTransform) await steps.transformBatch(batch);
      const { paused } = extracted.loaded === undefined ? await steps.loadBatch({ ...stream, ...batch }) : extracted;
      if (extracted.more || paused === true) return false;
      await steps.endStream({ ...stream, status: 'completed', error: null, notes: prepared.notes });
      return true;
    } catch (error) {
      if (error instanceof CancelledFailure || Context.current().cancellationSignal.aborted) throw new CancelledFailure('The sync was cancelled.');
      return false;
    }
  }
}
