import { chosenOf, listStreams, requireSourceStreams, type CatalogSource, type CatalogStream } from '../destinations/postgres/catalog.ts';
import { beginStream, endStream, notePoll } from '../destinations/postgres/runs.ts';
import { listScansToRun, NO_SCAN } from '../pipeline/deletes/due.ts';
import { withSource, type Engine } from '../pipeline/engine.ts';
import { pollStreams } from '../pipeline/poll.ts';
import type { ErrorInfo } from '../schemas/errors.ts';
import type { StreamStatus } from '../schemas/run.ts';
import type { Priority } from '../schemas/settings.ts';
import type { CheckedSource, CheckRequest } from './messages.ts';
import { closedWindow, windowOf } from './read-window.ts';

const PRIORITY_KEYS: Record<Priority, number> = { critical: 1, high: 2, normal: 3, low: 4 };

export interface CheckDeps {
  readonly engine: Engine;
  /** The task queue of a source's activities. */
  queueOf(kind: string): Promise<string>;
}

export async function chosenStreams(engine: Engine, request: CheckRequest): Promise<CatalogStream[]> {
  const streams = await engine.destination.session('reading the catalog', (session) => listStreams(session, request.source));
  return chosenOf(streams, request.source, request.scope.streams);
}

/** See `RunActivities.checkSource`. */
export async function checkSource(deps: CheckDeps, request: CheckRequest, signal: AbortSignal): Promise<CheckedSource> {
  const { engine } = deps;
  const { source, streams: all } = await engine.destination.session('reading the catalog', (session) => requireSourceStreams(session, request.source));
  const queue = await deps.queueOf(source.settings.kind);
  const priority = PRIORITY_KEYS[source.settings.priority];
  if (request.trigger === 'window' && (!source.settings.enabled || source.settings.schedule.everySeconds !== request.everySeconds)) {
    return { changed: [], settled: 0, over: true, giveWay: false, queue, priority };
  }
  const streams = chosenOf(all, request.source, request.scope.streams);
  const held = new Map(streams.map((stream) => [stream.stream, holdOf(stream, source, request)]));
  const open = streams.filter((stream) => held.get(stream.stream) === null).map((stream) => stream.stream);
  const asked = open.length === 0 ? [] : request.scope.full ? open : await withSource(engine, request.source, signal, (session) => pollStreams(engine, session, request.source, open, request.poll === 0), 'sync');
  // A stream that was parked is run even where there is nothing new: only a run that completes tells that its trouble is over.
  const scans = streams.some(({ settings }) => settings.deletes?.detect === 'scan') ? await engine.destination.session('looking for due scans', (session) => listScansToRun(session, request.source, streams, request.scope.detectDeletes === true)) : [];
  const changed = streams.filter((stream) => asked.includes(stream.stream) || (open.includes(stream.stream) && (stream.resumes || stream.parked !== null || scans.includes(stream.stream)))).map((stream) => stream.stream);
  const complete = open.filter((stream) => !changed.includes(stream));
  // Later polls of a window leave the run's rows alone: an idle poll writes no more than the time it was made.
  if (request.poll === 0) await settle(engine, request, streams, held, complete);
  const isAskedFor = await engine.destination.session('noting a poll', (session) => notePoll(session, request.source, complete));
  return {
    changed,
    settled: streams.length - changed.length,
    over: false,
    giveWay: request.trigger === 'window' && isAskedFor,
    queue,
    priority,
  };
}

/** Why a stream is not read now, or null. A person who asks for a sync is the person that a parked stream waits for. */
function holdOf(stream: CatalogStream, source: CatalogSource, request: CheckRequest): Hold | null {
  const error = stream.parked;
  if (!source.settings.enabled || !stream.settings.enabled) return { status: 'disabled', error };
  if (source.paused || stream.paused) return { status: 'paused', error };
  if (error !== null && request.trigger !== 'manual') return { status: error.code === 'source.history_lost' ? 'history_lost' : 'parked', error };
  const closed = closedWindow(stream.stream, windowOf(stream.settings, source.settings));
  return closed === null ? null : { status: 'skipped', error: closed.info() };
}

interface Hold {
  readonly status: StreamStatus;
  readonly error: ErrorInfo | null;
}

async function settle(engine: Engine, request: CheckRequest, streams: readonly CatalogStream[], held: ReadonlyMap<string, Hold | null>, complete: readonly string[]): Promise<void> {
  await engine.destination.transaction('closing streams', async (session) => {
    for (const stream of streams) {
      const end: Hold | null = held.get(stream.stream) ?? (complete.includes(stream.stream) ? { status: 'completed', error: null } : null);
      if (end === null) continue;
      await beginStream(session, request.runId, request.source, stream.stream, stream.target, stream.settings.mode);
      const notes = request.scope.detectDeletes === true && stream.settings.deletes?.detect !== 'scan' ? [NO_SCAN] : [];
      await endStream(session, { runId: request.runId, source: request.source, stream: stream.stream, ...end, notes });
    }
  });
}
