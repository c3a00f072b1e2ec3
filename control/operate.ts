/** What a person does to a source or one of its streams: pause, resume, retry. */
import type { Client } from '@temporalio/client';
import { findSource, listStreams, setParked, setPaused } from '../destinations/postgres/catalog.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import type { ConnectionName } from '../destinations/postgres/breaker.ts';
import { findActiveRun } from '../destinations/postgres/runs.ts';
import { closeBreaker } from './breaker.ts';
import { ScheduleNotFoundError, ScheduleOverlapPolicy } from '../runtime/temporal-library.ts';
import { requireStreamOf } from './history.ts';
import { pauseSchedules, scheduleId } from './schedules.ts';
import { listUnwell } from './status.ts';
import { chooseSources } from './choose-sources.ts';

export interface PauseCommand {
  readonly source: string;
  /** Null: the source with all its streams. */
  readonly stream: string | null;
  readonly paused: boolean;
  /** Also closes an open breaker of the source. */
  readonly force?: boolean;
}

export interface PauseResult {
  readonly source: string;
  readonly stream: string | null;
  /** What holds now: a stream of a paused source stays paused. */
  readonly paused: boolean;
  readonly warnings: readonly string[];
  /** Connections whose breaker a forced resume closed; absent where it was not forced. */
  readonly breakerClosed?: readonly ConnectionName[];
}

/**
 * Pauses or resumes. Takes effect between batches; idempotent. A source's schedules are paused with it, so that no run begins only to find it
 * paused; a stream has none of its own and needs no Temporal. Throws `usage.unknown_source`, `usage.unknown_stream`.
 */
export async function setPausedState(destination: Destination, client: Client | null, command: PauseCommand): Promise<PauseResult> {
  const { source, stream, paused } = command;
  await requireNames(destination, source, stream);
  const forced = command.force === true ? { breakerClosed: await closeBreaker(destination, source) } : {};
  const before = await destination.session('reading the catalog', (session) => findSource(session, source));
  await destination.session(paused ? 'pausing' : 'resuming', (session) => setPaused(session, source, stream, paused));
  if (stream === null && client !== null) {
    await pauseSchedules(client, source, paused);
    const wakes = before?.paused === true || (forced.breakerClosed ?? []).length > 0;
    if (!paused && wakes && before !== null && before.settings.schedule.everySeconds !== null) await pollAtOnce(destination, client, source);
  }
  return { ...(await resultOf(destination, command)), ...forced };
}

/** Throws `usage.unknown_source` or `usage.unknown_stream`. */
export async function requireNames(destination: Destination, source: string, stream: string | null): Promise<void> {
  if (stream === null) await chooseSources(destination, [source], null);
  else await requireStreamOf(destination, source, stream);
}

/** An interval counts from the epoch: without this a source resumed now might wait for almost a whole one. A poll window that is still open goes on by itself. */
async function pollAtOnce(destination: Destination, client: Client, source: string): Promise<void> {
  const active = await destination.session('looking for the active run', (session) => findActiveRun(session, source));
  if (active?.trigger === 'window') return;
  try {
    await client.schedule.getHandle(scheduleId(source)).trigger(ScheduleOverlapPolicy.BUFFER_ONE);
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
  }
}

async function resultOf(destination: Destination, { source, stream, paused }: PauseCommand): Promise<PauseResult> {
  const [now, streams] = await destination.session('reading the catalog', async (session) => [await findSource(session, source), await listStreams(session, source)] as const);
  if (paused) return { source, stream, paused, warnings: [] };
  if (stream !== null) {
    const held = now?.paused === true;
    return { source, stream, paused: held, warnings: held ? [`the source ${source} is paused as a whole: resume it without --stream`] : [] };
  }
  const warnings = streams.filter((each) => each.paused).map((each) => `${each.stream} was paused by itself and stays so: resume it with --stream`);
  return { source, stream, paused: false, warnings };
}

/**
 * Un-parks a stream, or every stream of a source that is not well, for a run that is to follow at once. Returns their names; a named stream is
 * among them however it stands, since a person wants it tried. Throws `usage.unknown_source`, `usage.unknown_stream`.
 */
export async function unpark(destination: Destination, source: string, stream: string | null): Promise<string[]> {
  await requireNames(destination, source, stream);
  const chosen = stream === null ? await listUnwell(destination, source) : [stream];
  await destination.transaction('un-parking', async (session) => {
    for (const name of chosen) await setParked(session, source, name, null);
  });
  return chosen;
}
