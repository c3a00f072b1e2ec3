import type { Capabilities } from '../connectors/connector.ts';
import type { BatchStep } from '../destinations/postgres/batch.ts';
import { isPaused, markChecked } from '../destinations/postgres/catalog.ts';
import { settleParking, withLastGood } from '../destinations/postgres/parking.ts';
import type { Counts } from '../destinations/postgres/ledger.ts';
import { beginStream, endStream, ensureStream, holdRun, nameTarget } from '../destinations/postgres/runs.ts';
import { finishBuild, keyBuild } from '../pipeline/build.ts';
import { copyPart, type CopiedPart } from '../pipeline/copy-part.ts';
import { decideScan, type ScanDecision } from '../pipeline/deletes/due.ts';
import { scanDeletes, type ScanResult, type ScanStep } from '../pipeline/deletes/scan.ts';
import type { Engine } from '../pipeline/engine.ts';
import { extractBatch, type Extracted } from '../pipeline/extract.ts';
import { loadBatch } from '../pipeline/load.ts';
import { loadWhereEmpty } from '../pipeline/load-empty.ts';
import { prepareStream, requireStream, type Prepared } from '../pipeline/prepare.ts';
import { tryRetention } from '../pipeline/retention.ts';
import { transformBatch, type TransformStep } from '../pipeline/transform.ts';
import { formatTableName } from '../destinations/postgres/identifiers.ts';
import { loadPlan } from '../pipeline/engine.ts';
import type { StreamEndRequest, StreamRef } from './messages.ts';
import { asActivity, asCountedActivity, type Attempted } from './activity-context.ts';
import { requireOpenWindow } from './read-window.ts';

export interface StreamActivityDeps {
  readonly engine: Engine;
  /** What the source's connector can do; reads the catalog. */
  capabilitiesOf(sourceId: string): Promise<Capabilities>;
  readonly partRowsMax: number;
}

export type StreamActivities = ReturnType<typeof createStreamActivities>;

/** The steps of one stream's sync. Each may be tried again at any moment and leaves the target as if it had run once. */
export function createStreamActivities(deps: StreamActivityDeps) {
  const { engine } = deps;
  return {
    /** Looks at source and target and decides what the run does; see {@link prepareStream}. */
    async prepareStream(request: StreamRef & { readonly full: boolean; readonly goesOn?: boolean; readonly detectDeletes?: boolean }): Promise<Prepared & ScanDecision> {
      return asActivity(async (signal) => {
        const stream = await requireStream(engine, request.source, request.stream);
        await engine.destination.session('opening a stream', (session) => beginStream(session, request.runId, request.source, request.stream, stream.target, stream.settings.mode));
        await requireOpenWindow(engine, request);
        const prepared = await prepareStream(engine, request, await deps.capabilitiesOf(request.source), deps.partRowsMax, signal);
        const plan = await loadPlan(engine, request.source, request.stream);
        await engine.destination.session('naming the target', (session) => nameTarget(session, request.runId, request.source, request.stream, formatTableName(plan.target)));
        const decided = await engine.destination.session('looking for a due scan', (session) => decideScan(session, plan, prepared, request.detectDeletes === true));
        return { ...prepared, ...decided };
      });
    },

    /** Reads the next range into the stage, or what is new straight into the target. Where nothing is left to load it says whether somebody has paused the stream meanwhile. */
    async extractBatch(step: BatchStep): Promise<Extracted & { readonly paused?: boolean } & Attempted> {
      return asCountedActivity(async (signal, onProgress) => {
        await requireOpenWindow(engine, step);
        const extracted = await loadWhereEmpty(engine, step, await extractBatch(engine, step, signal, onProgress));
        return extracted.loaded === undefined ? extracted : { ...extracted, paused: await isStreamPaused(engine, step) };
      });
    },

    /** Casts, checks and dedupes the stage, set by set. */
    async transformBatch(step: TransformStep): Promise<{ readonly rejected: number; readonly superseded: number } & Attempted> {
      return asCountedActivity(() => transformBatch(engine, step));
    },

    /** Rows, quarantine, ledger and watermark in one transaction. Says whether somebody has paused the stream meanwhile. */
    async loadBatch(step: TransformStep & StreamRef): Promise<Counts & { readonly paused: boolean } & Attempted> {
      return asCountedActivity(async () => {
        const counts = await loadBatch(engine, step);
        return { ...counts, paused: await isStreamPaused(engine, step) };
      });
    },

    /** Copies one part of a full build into the next generation. */
    async copyPart(step: BatchStep & { readonly part: number }): Promise<CopiedPart & { readonly paused: boolean } & Attempted> {
      return asCountedActivity(async (signal, onProgress) => {
        await requireOpenWindow(engine, step);
        const copied = await copyPart(engine, step, step.part, signal, onProgress);
        return { ...copied, paused: await isStreamPaused(engine, step) };
      });
    },

    async keyBuild(request: StreamRef & { readonly generation: number }): Promise<void> {
      await asActivity(() => keyBuild(engine, request.source, request.stream, request.generation));
    },

    /** Swaps the generation in, together with the watermark. */
    async finishBuild(request: StreamRef & { readonly generation: number }): Promise<'swapped' | 'unchanged'> {
      return asActivity(() => finishBuild(engine, request.source, request.stream, request.generation, request.runId));
    },

    /** `keyBuild` and `finishBuild` in one step, for a build that nothing catches up in between. */
    async keyAndFinish(request: StreamRef & { readonly generation: number }): Promise<'swapped' | 'unchanged'> {
      return asActivity(async () => {
        await keyBuild(engine, request.source, request.stream, request.generation);
        return finishBuild(engine, request.source, request.stream, request.generation, request.runId);
      });
    },

    /** Looks for rows that are deleted at the source, and deletes them in the target; see {@link scanDeletes}. */
    async scanDeletes(step: ScanStep): Promise<ScanResult & Attempted> {
      return asCountedActivity(async (signal, onProgress) => {
        await requireOpenWindow(engine, step);
        return scanDeletes(engine, step, signal, onProgress);
      });
    },

    /** Closes the stream's row of the run; parks the stream where a person is needed, and takes that back where it went well. Rows past their time go before. */
    async endStream(request: StreamEndRequest): Promise<void> {
      await asActivity(async (signal) => {
        const remarks = request.status === 'completed' ? await tryRetention(engine, request, signal) : [];
        await engine.destination.transaction('closing a stream', async (session) => {
          const { source, stream, status } = request;
          const open = await holdRun(session, request.runId);
          if (open) await ensureStream(session, request.runId, source, stream);
          const error = request.error === null ? null : await withLastGood(session, source, stream, request.error);
          // What a worker that slept says of a run that has ended is no news of the stream.
          if (open) await settleParking(session, request);
          if (open && status === 'completed') await markChecked(session, source, [stream]);
          await endStream(session, { ...request, error, notes: [...request.notes, ...remarks] });
        });
      });
    },
  };
}

function isStreamPaused(engine: Engine, { source, stream }: Pick<BatchStep, 'source' | 'stream'>): Promise<boolean> {
  return engine.destination.session('looking for a pause', (session) => isPaused(session, source, stream));
}
