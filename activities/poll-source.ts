import { setTimeout as sleep } from 'node:timers/promises';
import type { WaitingRuns } from '../destinations/postgres/waiting-runs.ts';
import { checkSource, type CheckDeps } from './check-source.ts';
import type { CheckedSource, CheckRequest } from './messages.ts';
import { whenThereIsRoom } from './polls-at-once.ts';

/**
 * A call looks at the source again as long as the next instant lies this near to its begin: each call costs a workflow task, which a source that is
 * polled every few seconds would pay for each poll. Shorter than the server waits for a workflow task, so that a worker that died is noticed as before.
 */
const CALL_MS = 6_000;
/** Between two instants it looks this often for a run that a person asked for, and takes an answer that is at most half as old. */
const WAITING_LOOK_MS = 1_000;

export interface PollDeps extends CheckDeps {
  readonly waiting: WaitingRuns;
}

export interface PollRequest extends CheckRequest {
  /** The instant that this poll is for, and the window's end; milliseconds since the epoch. */
  readonly tick: number;
  readonly until: number;
}

export interface PolledSource extends CheckedSource {
  /** How many polls the call made. */
  readonly polls: number;
  /** The instant of the last one. */
  readonly tick: number;
}

/**
 * Polls at `tick` and at the instants that follow within a few seconds, until one finds something to do. A poll after the first that fails ends the
 * call with what the one before it has found: the next call meets the same trouble and tells it.
 */
export async function pollSource(deps: PollDeps, request: PollRequest, signal: AbortSignal): Promise<PolledSource> {
  const begun = Date.now();
  const every = (request.everySeconds ?? 0) * 1_000;
  let polled: PolledSource = { ...(await whenThereIsRoom(() => checkSource(deps, request, signal))), polls: 1, tick: request.tick };
  for (;;) {
    const tick = polled.tick + every;
    const isIdle = polled.changed.length === 0 && !polled.over && !polled.giveWay;
    if (!isIdle || every === 0 || tick >= request.until || tick < Date.now() || tick - begun > CALL_MS) return polled;
    if (await restUntil(deps, request, tick, signal)) return { ...polled, giveWay: true };
    try {
      const next = { ...request, poll: request.poll + polled.polls };
      polled = { ...(await whenThereIsRoom(() => checkSource(deps, next, signal))), polls: polled.polls + 1, tick };
    } catch (error) {
      if (signal.aborted) throw error;
      return polled;
    }
  }
}

/** True, before its time, where a run that a person asked for waits. */
async function restUntil({ waiting }: PollDeps, { source }: PollRequest, tick: number, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    const rest = tick - Date.now();
    await sleep(Math.max(0, Math.min(rest, WAITING_LOOK_MS)), undefined, { signal });
    if (rest <= WAITING_LOOK_MS) return false;
    if (await waiting.waitsFor(source, WAITING_LOOK_MS / 2)) return true;
  }
}
