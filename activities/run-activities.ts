import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { setPaused } from '../destinations/postgres/catalog.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import { forgetBatches } from '../destinations/postgres/batch.ts';
import { settleParking, statusWithSource, withLastGood } from '../destinations/postgres/parking.ts';
import { activateRun, beginStream, endRun, endStream, ensureStream, findActiveRun, findRun, listStreamResults, listWaitingRuns, requestRun, yieldRun, type RunRow } from '../destinations/postgres/runs.ts';
import { WaitingRuns } from '../destinations/postgres/waiting-runs.ts';
import type { Engine } from '../pipeline/engine.ts';
import { TidemarkError, type ErrorInfo } from '../schemas/errors.ts';
import { isDone, type RunScope, type StreamStatus } from '../schemas/run.ts';
import type { CheckedSource, CheckRequest, RunRef, RunRequest, RunSummary, Turn } from './messages.ts';
import { asActivity } from './activity-context.ts';
import { checkSource, chosenStreams } from './check-source.ts';
import { pollSource, type PolledSource, type PollRequest } from './poll-source.ts';

/** One call waits this long for its turn, then the workflow asks again: short enough to notice a worker that left. */
const TURN_WAIT_MS = 20_000;
/** The same for syncs that no person waits for: a fleet's windows would otherwise fill all places of a worker, and the runs that they wait for could not end. */
const SCHEDULED_TURN_WAIT_MS = 1_000;
const TURN_POLL_MS = 200;
/** How often the holder of the turn is looked up in Temporal, in case its workflow was terminated. */
const HOLDER_CHECK_EVERY = 10;

export interface RunActivityDeps {
  readonly engine: Engine;
  readonly temporal: Client;
  /** The task queue of a source's activities. */
  queueOf(kind: string): Promise<string>;
}

export type RunActivities = ReturnType<typeof createRunActivities>;

/** The steps of a run around its streams: its turn, the check of its source, its end. */
export function createRunActivities(deps: RunActivityDeps) {
  const { engine } = deps;
  const waiting = new WaitingRuns(engine.destination);
  return {
    /** Waits, bounded, until this run is its source's only active one. Never two at once: the destination's index forbids it. */
    async takeTurn(request: RunRequest): Promise<Turn> {
      return asActivity(async (signal) => {
        const shared = await engine.destination.transaction('asking for a turn', (session) => askForTurn(session, request));
        if (shared !== null) return { state: 'shared' as const, runId: shared };
        const waitMs = request.trigger === 'manual' || request.scope.kind !== undefined ? TURN_WAIT_MS : SCHEDULED_TURN_WAIT_MS;
        for (let waited = 0, round = 0; ; waited += TURN_POLL_MS, round++) {
          if (await tryActivate(engine, request)) return { state: 'active' as const };
          if (round % HOLDER_CHECK_EVERY === 0) await checkHolder(deps, request);
          if (waited >= waitMs || signal.aborted) return { state: 'waiting' as const };
          await sleep(TURN_POLL_MS, undefined, { signal });
        }
      });
    },

    /** Lets a run that a person asked for go first. */
    async giveWay(run: RunRef): Promise<void> {
      await asActivity(() => engine.destination.session('giving way', (session) => yieldRun(session, run.runId)));
    },

    /** Waits, bounded, for the end of the run that this one shares. Returns how it ended, or false while it goes on. */
    async awaitRun(runId: string): Promise<false | string> {
      return asActivity(async (signal) => {
        for (let waited = 0, round = 0; waited < TURN_WAIT_MS && !signal.aborted; waited += TURN_POLL_MS, round++) {
          const run = await engine.destination.session('looking at a run', (session) => findRun(session, runId));
          if (run === null) return 'lost';
          if (run.endedAt !== null) return run.status;
          if (round % HOLDER_CHECK_EVERY === 0) await endIfLost(engine.destination, deps.temporal, run);
          await sleep(TURN_POLL_MS, undefined, { signal });
        }
        return false;
      });
    },

    /** Connects to the source and asks for each stream whether there is anything new; streams that need nothing are closed here. */
    async checkSource(request: CheckRequest): Promise<CheckedSource> {
      return asActivity((signal) => checkSource(deps, request, signal));
    },

    /** {@link checkSource} at the instants of a window that are close together, until there is something to do; see {@link pollSource}. */
    async pollSource(request: PollRequest): Promise<PolledSource> {
      return asActivity((signal) => pollSource({ ...deps, waiting }, request, signal));
    },

    /** Closes every stream of the run with the error that stopped the source as a whole. */
    async endSource(request: CheckRequest & { readonly error: ErrorInfo; readonly status: StreamStatus }): Promise<void> {
      await asActivity(async () => {
        const streams = await chosenStreams(engine, request);
        await engine.destination.transaction('closing a run', async (session) => {
          for (const stream of streams) {
            const status = stream.settings.enabled ? statusWithSource(request) : 'disabled';
            const error = status === 'disabled' ? null : await withLastGood(session, request.source, stream.stream, request.error);
            await beginStream(session, request.runId, request.source, stream.stream, stream.target, stream.settings.mode);
            if (status === 'parked') await settleParking(session, { ...request, stream: stream.stream, status, error });
            await endStream(session, { ...request, stream: stream.stream, status, error, notes: [] });
          }
        });
      });
    },

    /** Ends the run and sums it up. `unfinished`: streams whose workflow failed, or was ended by somebody before its first step. */
    async endRun(request: RunRef & { readonly status: RunSummary['status'] | null; readonly polls: number; readonly unfinished?: readonly string[] }): Promise<RunSummary> {
      return asActivity(() =>
        engine.destination.transaction('ending a run', async (session) => {
          for (const stream of request.unfinished ?? []) await ensureStream(session, request.runId, request.source, stream);
          const streams = await listStreamResults(session, request.runId);
          const status = request.status ?? (streams.every(isDone) ? 'completed' : 'failed');
          await endRun(session, request.runId, status, request.polls);
          await forgetBatches(session, request.runId);
          return { runId: request.runId, source: request.source, status, streams: streams.map(countsOnly) };
        }),
      );
    },

    /** Pauses or resumes a source or one of its streams; takes effect between batches. */
    async setPaused(request: { readonly source: string; readonly stream: string | null; readonly paused: boolean }): Promise<void> {
      await asActivity(() => engine.destination.session('pausing', (session) => setPaused(session, request.source, request.stream, request.paused)));
    },
  };
}

type Session = Parameters<typeof requestRun>[0];

/** Registers the request. Returns the id of a run that waits already and does the same, or null. */
async function askForTurn(session: Session, request: RunRequest): Promise<string | null> {
  if (await findRun(session, request.runId)) return null;
  await session.query('select from tidemark.source where id = $1 for update', [request.source]);
  if (request.trigger === 'manual' && (await findActiveRun(session, request.source)) !== null) {
    const same = (await listWaitingRuns(session, request.source)).find((run) => run.trigger === 'manual' && sameScope(run.scope, request.scope));
    if (same) {
      // Held until commit: the run that is shared can't begin to read before this request is known to be covered.
      await session.query("select from tidemark.run where run_id = $1 and status = 'waiting' for update", [same.runId]);
      return same.runId;
    }
  }
  await requestRun(session, request);
  return null;
}

function sameScope(a: RunScope, b: RunScope): boolean {
  return a.full === b.full && (a.detectDeletes ?? false) === (b.detectDeletes ?? false) && a.kind === b.kind && JSON.stringify(a.streams) === JSON.stringify(b.streams);
}

async function tryActivate(engine: Engine, request: RunRequest): Promise<boolean> {
  try {
    return await engine.destination.transaction('taking the turn', (session) => activateRun(session, request.runId, request.source));
  } catch (error) {
    // Two that activate at the same instant meet at the unique index: one of them has to wait.
    if (error instanceof TidemarkError && error.code === 'target.constraint') return false;
    throw error;
  }
}

/** Frees the turn, or the place in the queue, of a run whose workflow is gone, and asks a poll window to give way to a run that a person asked for. */
async function checkHolder(deps: RunActivityDeps, request: RunRequest): Promise<void> {
  const { holder, queue } = await deps.engine.destination.session('looking for the active run', async (session) => ({
    holder: await findActiveRun(session, request.source),
    queue: await listWaitingRuns(session, request.source),
  }));
  for (const waiting of queue) {
    if (waiting.runId !== request.runId) await endIfLost(deps.engine.destination, deps.temporal, waiting);
  }
  if (holder === null || holder.runId === request.runId) return;
  if (await endIfLost(deps.engine.destination, deps.temporal, holder)) return;
  if (holder.trigger === 'window' && request.trigger === 'manual') {
    await deps.temporal.workflow.getHandle(holder.workflowId, holder.workflowRunId).signal('giveWay').catch(() => undefined);
  }
}

/** Ends a run that can't do so itself, since its workflow is gone. Returns whether it is. */
export async function endIfLost(destination: Destination, temporal: Client, run: RunRow): Promise<boolean> {
  if (await isRunning(temporal, run)) return false;
  await destination.transaction('ending a lost run', async (session) => {
    await endRun(session, run.runId, 'lost', 0);
    await forgetBatches(session, run.runId);
  });
  return true;
}

/** Whether the run's workflow, or the one that it went on as, is under way. A Temporal that does not answer says nothing. */
async function isRunning(temporal: Client, { workflowId, workflowRunId }: RunRow): Promise<boolean> {
  try {
    const { status } = await temporal.workflow.getHandle(workflowId, workflowRunId).describe();
    if (status.name !== 'CONTINUED_AS_NEW') return status.name === 'RUNNING';
    return (await temporal.workflow.getHandle(workflowId).describe()).status.name === 'RUNNING';
  } catch (error) {
    return !(error instanceof Error && error.name === 'WorkflowNotFoundError');
  }
}

function countsOnly(result: Awaited<ReturnType<typeof listStreamResults>>[number]): RunSummary['streams'][number] {
  const { stream, status, error, batches, read, written, unchanged, rejected, superseded, deleted, bytes } = result;
  return { stream, status, error, batches, read, written, unchanged, rejected, superseded, deleted, bytes };
}
