/** Freshness objectives, watched by Tidemark's own clock: a schedule that did not fire, a run that hangs and a silent source are noticed though nothing has failed. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Destination, Session } from '../destinations/postgres/destination.ts';
import { emitEvent } from '../destinations/postgres/events.ts';
import { listWatched, noteFresh, noteMissed, type WatchedStream } from '../destinations/postgres/freshness.ts';
import type { SourceSettings } from '../schemas/settings.ts';
import { ERROR_CODES } from '../schemas/errors.ts';
import { nextOpening } from '../schemas/read-window.ts';
import { lagSeconds } from './stream-state.ts';

/**
 * - `no_run`: no run since; its schedule did not fire, no worker took it, or it has none.
 * - `run_hangs`: a run is under way and has committed nothing for as long as the objective.
 * - `run_slow`: a run is under way and commits, but has not caught up.
 * - `run_failed`: the last run ended with an error that is tried again.
 */
export type MissReason = 'no_run' | 'run_hangs' | 'run_slow' | 'run_failed' | 'source_unreachable' | 'parked';

/** Between two looks: a quarter of the shortest objective, within these bounds. */
const LOOK_EVERY_MIN_MS = 1_000;
const LOOK_EVERY_MAX_MS = 10_000;
/** Polls that a window may leave out before its run counts as hanging. */
const WINDOW_POLLS_MISSED_MAX = 3;

/** What `plan` says of objectives that polls can't meet. */
export function objectiveWarnings(source: SourceSettings): { readonly source: string; readonly stream: string; readonly message: string }[] {
  const every = source.schedule.everySeconds;
  const rare = source.streams.filter(({ enabled, freshnessSeconds }) => enabled && freshnessSeconds !== null && every !== null && freshnessSeconds <= every);
  return rare.map(({ name, freshnessSeconds }) => ({ source: source.id, stream: name, message: `freshness ${freshnessSeconds} s is missed between polls, which come every ${every} s` }));
}

/** Looks until the signal. Writes `FreshnessMissed` once for each miss, and `FreshnessRestored` at its end. */
export async function watchFreshness(destination: Destination, signal: AbortSignal): Promise<void> {
  const held = new Map<string, number>();
  while (!signal.aborted) {
    const watched = await destination.transaction('watching freshness', async (session) => {
      const { streams, now } = await listWatched(session);
      for (const stream of streams) await judge(session, stream, now, held);
      return streams;
    });
    const shortest = Math.min(...watched.map((stream) => stream.objectiveSeconds ?? Infinity));
    await sleep(Math.min(Math.max(250 * shortest, LOOK_EVERY_MIN_MS), LOOK_EVERY_MAX_MS), undefined, { signal }).catch(() => undefined);
  }
}

async function judge(session: Session, stream: WatchedStream, now: number, held: Map<string, number>): Promise<void> {
  const key = `${stream.source}\n${stream.stream}`;
  const objective = stream.objectiveSeconds;
  if (objective === null || !isWatched(stream, now)) {
    held.set(key, now);
    if (stream.missedSince !== null && (await noteFresh(session, stream))) await tell(session, stream, 'FreshnessRestored', { objectiveSeconds: objective, missedSeconds: seconds(now - stream.missedSince), reason: 'not_watched' });
    return;
  }
  const lag = lagOf(stream, now);
  // What was held back on purpose counts from its end.
  const counted = Math.min(lag, now - (held.get(key) ?? -Infinity));
  if (counted > objective && stream.missedSince === null) {
    const since = now - lag + objective;
    const reason = reasonOf(stream, objective, lag, now);
    if (await noteMissed(session, stream, since, reason)) await tell(session, stream, 'FreshnessMissed', { objectiveSeconds: objective, lagSeconds: seconds(lag), reason });
  } else if (lag <= objective && stream.missedSince !== null) {
    if (await noteFresh(session, stream)) await tell(session, stream, 'FreshnessRestored', { objectiveSeconds: objective, lagSeconds: seconds(lag), missedSeconds: seconds(now - stream.missedSince), reason: 'fresh' });
  }
}

async function tell(session: Session, { source, stream }: WatchedStream, type: 'FreshnessMissed' | 'FreshnessRestored', data: Readonly<Record<string, unknown>>): Promise<void> {
  await emitEvent(session, { type, source, stream, data });
}

/** What a person has paused, disabled or closed to reading alarms nobody. */
function isWatched(stream: WatchedStream, now: number): boolean {
  if (!stream.enabled || stream.paused) return false;
  return stream.readWindow === null || nextOpening({ hours: stream.readWindow, timeZone: stream.timeZone }, new Date(now * 1_000)) === null;
}

/** Seconds since the source's moment up to which the target is complete; since it was applied, where it never was. A source's clock that runs ahead hides nothing. */
export function lagOf(stream: WatchedStream, now: number): number {
  const lag = lagSeconds(stream, now);
  if (lag === null) return now - stream.appliedAt;
  return stream.checkedAt === null ? lag : Math.max(lag, now - stream.checkedAt);
}

export function reasonOf(stream: WatchedStream, objective: number, lag: number, now: number): MissReason {
  const { last, active, checkedAt } = stream;
  const settled = last === null || last.status === 'completed' || (checkedAt !== null && last.endedAt !== null && checkedAt > last.endedAt);
  if (stream.parked || (!settled && (last.status === 'parked' || last.status === 'history_lost'))) return 'parked';
  if (last?.status === 'running') return Math.max(last.startedAt, last.lastCommit ?? 0) < now - objective ? 'run_hangs' : 'run_slow';
  if (stream.unreachable || (!settled && last.error !== null && ERROR_CODES[last.error.code].retry === 'unreachable')) return 'source_unreachable';
  if (active !== null && !(active.trigger === 'window' && lag <= WINDOW_POLLS_MISSED_MAX * (stream.everySeconds ?? 0))) return 'run_hangs';
  return settled ? 'no_run' : 'run_failed';
}

function seconds(exact: number): number {
  return Math.round(exact * 1_000) / 1_000;
}
