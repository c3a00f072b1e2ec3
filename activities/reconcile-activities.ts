import { forgetBatches } from '../destinations/postgres/batch.ts';
import { chosenOf, requireSourceStreams } from '../destinations/postgres/catalog.ts';
import { listResults, saveResult } from '../destinations/postgres/difference.ts';
import { askForRepair, beginReconcile, emitDifferences, endReconcile } from '../destinations/postgres/reconcile-runs.ts';
import { compareStream, type FirstLook } from '../pipeline/reconcile/compare.ts';
import { repairKeys, type Repaired, type RepairStep } from '../pipeline/reconcile/repair.ts';
import { settleDifferences, type Settled } from '../pipeline/reconcile/settle.ts';
import type { Engine } from '../pipeline/engine.ts';
import type { ReconcileResult } from '../schemas/comparison.ts';
import { asActivity } from './activity-context.ts';
import type { ReconcileOpen, ReconcileOpenRequest, RunRef, StreamRef } from './messages.ts';
import { closedWindow, requireOpenWindow, windowOf } from './read-window.ts';

export interface ReconcileActivityDeps {
  readonly engine: Engine;
  /** The task queue of a source's activities. */
  readonly queueOf: (kind: string) => Promise<string>;
}

export type ReconcileActivities = ReturnType<typeof createReconcileActivities>;

/** The steps of a comparison. Each may be tried again at any moment: the list of differences always speaks of the latest look. */
export function createReconcileActivities({ engine, queueOf }: ReconcileActivityDeps) {
  return {
    /** Chooses the streams and writes down that they are being compared. */
    async openReconcile(request: ReconcileOpenRequest): Promise<ReconcileOpen> {
      return asActivity(async () => {
        const { source, streams } = await engine.destination.session('reading the catalog', (session) => requireSourceStreams(session, request.source));
        const scheduled = request.trigger === 'schedule';
        const wanted = chosenOf(streams, request.source, request.streams).filter(({ settings }) => settings.enabled && (!scheduled || settings.reconcile !== false));
        // As a scheduled sync does: what may not be read at this hour waits for the next time. A person who asks is told.
        const chosen = wanted.filter(({ stream, settings }) => !scheduled || closedWindow(stream, windowOf(settings, source.settings)) === null);
        await engine.destination.transaction('opening a comparison', async (session) => {
          await beginReconcile(session, request);
          if (wanted.length > 0 && chosen.length === 0) await endReconcile(session, request.runId, 'skipped');
        });
        return { streams: chosen.map(({ stream, settings }) => ({ stream, deleteCap: settings.deleteCap })), queue: await queueOf(source.settings.kind) };
      });
    },

    /** The first look; see {@link compareStream}. */
    async compareStream(request: StreamRef): Promise<FirstLook & { readonly startedAt: string }> {
      return asActivity(async (signal, onProgress) => {
        await requireOpenWindow(engine, request);
        const startedAt = new Date().toISOString();
        return { ...(await compareStream(engine, request, signal, onProgress)), startedAt };
      });
    },

    /** The second look, after a sync; see {@link settleDifferences}. */
    async settleDifferences(request: StreamRef): Promise<Settled> {
      return asActivity((signal, onProgress) => settleDifferences(engine, request, signal, onProgress));
    },

    /** Asks for the source's turn in the name of the run; see `takeTurn`. */
    async askForRepair(request: RunRef): Promise<void> {
      await asActivity(() => engine.destination.session('asking for a turn', (session) => askForRepair(session, request.runId)));
    },

    /** Copies the next differing keys again; the run holds the source's turn. */
    async repairKeys(step: RepairStep): Promise<Repaired> {
      return asActivity((signal, onProgress) => repairKeys(engine, step, signal, onProgress));
    },

    /** Keeps the result of a stream; `startedAt` null: in the place of one that is kept already. */
    async saveReconcile(request: RunRef & { readonly result: ReconcileResult; readonly startedAt: string | null }): Promise<void> {
      await asActivity(() => engine.destination.session('keeping a result', (session) => saveResult(session, request.runId, request.result, request.startedAt)));
    },

    /** Ends the run in the history, frees the source's turn where the run had it, tells of differences once, and returns what was found. */
    async endReconcile(request: RunRef & { readonly status: 'completed' | 'failed' | 'cancelled' }): Promise<readonly ReconcileResult[]> {
      return asActivity(() =>
        engine.destination.transaction('ending a comparison', async (session) => {
          const ended = await endReconcile(session, request.runId, request.status);
          await forgetBatches(session, request.runId);
          const results = await listResults(session, request.runId);
          if (ended) await emitDifferences(session, request.runId, results);
          return results;
        }),
      );
    },
  };
}
