import { beginBackfill } from '../destinations/postgres/backfill-runs.ts';
import { requireSource } from '../destinations/postgres/catalog.ts';
import { closeBackfill, planBackfill, type BackfillEnd, type BackfillPlan } from '../pipeline/backfill.ts';
import { copySlice } from '../pipeline/backfill-slice.ts';
import type { Engine } from '../pipeline/engine.ts';
import type { BackfillRequest } from '../schemas/backfill-input.ts';
import { asActivity, startedBy } from './activity-context.ts';
import type { StreamRef } from './messages.ts';

export interface BackfillActivityDeps {
  readonly engine: Engine;
  /** The task queue of a source's activities. */
  queueOf(kind: string): Promise<string>;
}

/** `held`: somebody has paused the stream or its source; nothing was done. */
export type SliceOutcome = { readonly held: true } | { readonly held: false; readonly read: number; readonly written: number };

export type BackfillActivities = ReturnType<typeof createBackfillActivities>;

/** The steps of a backfill. Each may be tried again at any moment and leaves the target as if it had run once. */
export function createBackfillActivities(deps: BackfillActivityDeps) {
  const { engine } = deps;
  return {
    /** Cuts the range into slices, once, and names those that are open; see {@link planBackfill}. */
    async planBackfill(request: { readonly runId: string; readonly input: BackfillRequest }): Promise<BackfillPlan & { readonly queue: string }> {
      return asActivity(async () => {
        const { input, runId } = request;
        const source = await engine.destination.session('reading the catalog', (session) => requireSource(session, input.source));
        const plan = await planBackfill(engine, input, runId);
        const { workflowId, runId: workflowRunId } = startedBy();
        await engine.destination.session('opening a backfill', (session) => beginBackfill(session, { runId, source: input.source, stream: input.stream, workflowId, workflowRunId }));
        return { ...plan, queue: await deps.queueOf(source.settings.kind) };
      });
    },

    /** Extract, transform and load of one slice. */
    async backfillSlice(request: { readonly slice: number }): Promise<SliceOutcome> {
      return asActivity(async (signal, onProgress) => {
        const counts = await copySlice(engine, request.slice, signal, onProgress);
        return counts === null ? { held: true } : { held: false, read: counts.read, written: counts.written };
      });
    },

    /** Sums the run up, and opens the slices again that a full refresh has swept away; see {@link closeBackfill}. */
    async closeBackfill(request: StreamRef & { readonly over: boolean; readonly cancelled?: boolean }): Promise<BackfillEnd> {
      return asActivity(() => closeBackfill(engine, request));
    },
  };
}
