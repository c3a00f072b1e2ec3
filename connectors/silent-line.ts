/**
 * Bounds how long a source is waited for on a line that says nothing. A long statement is silent for good reason, and has `statement_timeout` as its bound.
 * But a server may be frozen, or a proxy on the way may have forgotten the connection and answer keep-alives itself: those are told apart within minutes by
 * looking at the server on a connection of its own, as the destination's lines are.
 */
import { performance } from 'node:perf_hooks';
import { TidemarkError } from '../schemas/errors.ts';

/**
 * How a server sees one of its sessions, asked on another connection. `gone`: it has no such session. `waits`: for its client, which waits for it.
 * `works`: on an answer, or there is no telling.
 */
export type LineView = 'gone' | 'waits' | 'works';

export interface AwaitedLine {
  /** Bytes that came in so far. */
  heard(): number;
  /** Whether more is wanted; false while the consumer has enough. */
  awaited(): boolean;
  /** Asks the server on a new connection, which ends with the signal. What it throws proves nothing. */
  look(signal: AbortSignal): Promise<LineView>;
  /** Fails whatever waits for this line. */
  giveUp(error: TidemarkError): void;
}

export interface LineLimits {
  /** How long a line may say nothing before its server is looked at. */
  readonly silenceMs: number;
  /** Between two looks; twice as long after each that found the server at work, up to `lookEveryMsMax`. */
  readonly lookEveryMs: number;
  readonly lookEveryMsMax: number;
  /** How long a new connection may take until it has answered. */
  readonly answerMs: number;
}

/** A line that was deaf from the start is given up within a minute and a half, one that falls silent in a long statement within three. */
export const LINE_LIMITS: LineLimits = { silenceMs: 30_000, lookEveryMs: 10_000, lookEveryMsMax: 60_000, answerMs: 10_000 };

/** Looks in a row that must agree: what one end has just sent may be on its way, and a login may be slow once. */
const AGREEING_LOOKS = 3;
/** A timer so much too late tells that this process slept or was busy: what it has not heard proves nothing. */
const OVERSLEPT_MS = 5_000;

type Seen = LineView | 'unanswered';

/** Watches from now on; returns what ends the watch. It ends itself when it gives the line up. */
export function watchLine(line: AwaitedLine, limits: LineLimits = LINE_LIMITS): () => void {
  let ended = false;
  // Made where a look is taken: nearly every statement is answered before the first.
  let looking: AbortController | null = null;
  let timer: NodeJS.Timeout | undefined;
  let heard = line.heard();
  let intervalMs = limits.lookEveryMs;
  let seen: Seen[] = [];

  const wait = (ms: number): void => {
    const dueAt = performance.now() + ms;
    timer = setTimeout(() => void tick(performance.now() - dueAt > OVERSLEPT_MS), ms).unref();
  };
  const isQuiet = (): boolean => line.awaited() && line.heard() === heard;
  const tick = async (overslept: boolean): Promise<void> => {
    const view = !overslept && isQuiet() ? await lookInTime(line, limits.answerMs, (looking = new AbortController())) : null;
    if (ended) return;
    if (view === null || !isQuiet()) {
      [heard, seen, intervalMs] = [line.heard(), [], limits.lookEveryMs];
      return wait(limits.silenceMs);
    }
    seen = [...seen, view].slice(-AGREEING_LOOKS);
    const verdict = judge(seen);
    if (verdict !== null) {
      ended = true;
      return line.giveUp(verdict);
    }
    intervalMs = view === 'works' ? Math.min(2 * intervalMs, limits.lookEveryMsMax) : limits.lookEveryMs;
    wait(intervalMs);
  };

  wait(limits.silenceMs);
  return () => {
    ended = true;
    looking?.abort();
    clearTimeout(timer);
  };
}

/** Null where this process could not have heard an answer. Aborts `looking` at its end. */
async function lookInTime(line: AwaitedLine, answerMs: number, looking: AbortController): Promise<Seen | null> {
  const asking = line.look(looking.signal).catch((): LineView => 'works');
  let timer: NodeJS.Timeout | undefined;
  const dueAt = performance.now() + answerMs;
  const unanswered = new Promise<Seen | null>((resolve) => {
    // What has arrived while this process was busy comes before the verdict.
    timer = setTimeout(() => setImmediate(() => resolve(performance.now() - dueAt > OVERSLEPT_MS ? null : 'unanswered')), answerMs).unref();
  });
  const view = await Promise.race([asking, unanswered]);
  clearTimeout(timer);
  looking.abort();
  return view;
}

function judge(seen: readonly Seen[]): TidemarkError | null {
  if (seen.length < AGREEING_LOOKS || seen.includes('works')) return null;
  if (seen.every((view) => view === 'unanswered')) {
    return new TidemarkError('source.unreachable', 'The source answers neither on the connection that is open nor on a new one.', { hint: 'Check that the server is not stopped, frozen or overloaded, and the network between this worker and it.' });
  }
  if (seen.includes('unanswered')) return null;
  return new TidemarkError('source.connection_lost', 'Nothing passes any more on a connection to the source that stays open.', { hint: 'It is tried again on a new connection. A firewall or proxy between this worker and the source may have dropped it.' });
}
