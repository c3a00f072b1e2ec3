/** What happens at the places of `pipeline/fault-point.ts`: a crash, or a wait until the test says go on. */
import { onFaultPoint } from '../../pipeline/fault-point.ts';
import type { FaultPhase } from '../../pipeline/fault-point.ts';

/** The process is gone: nothing after this place runs, what was committed stays. */
export class Crash extends Error {
  constructor(phase: FaultPhase) {
    super(`crash at ${phase}`);
  }
}

/** Crashes each time the phase is reached, at most `times`. Returns how often it did. */
export function crashAt(phase: FaultPhase, times = 1): () => number {
  let crashes = 0;
  onFaultPoint(async (reached) => {
    if (reached !== phase || crashes >= times) return;
    crashes += 1;
    throw new Crash(phase);
  });
  return () => crashes;
}

/** Longer than any attempt takes until it stands where it is to be held. */
const REACHED_WITHIN_MS = 60_000;

export interface Held {
  /** Resolves when an attempt stands at the phase; rejects where none came. */
  readonly reached: Promise<void>;
  readonly goOn: () => void;
}

/** Holds the attempt that reaches the phase first, or as the `nth`, as a machine that was put to sleep; later ones pass. */
export function holdAt(phase: FaultPhase, nth = 1): Held {
  const [reached, arrived, none] = gate();
  const [released, goOn] = gate();
  const bound = setTimeout(() => none(new Error(`nobody came to ${phase} ${nth} within ${REACHED_WITHIN_MS / 1000} s`)), REACHED_WITHIN_MS).unref();
  // A test that failed before it waits has said so.
  reached.catch(() => undefined);
  let seen = 0;
  onFaultPoint(async (at) => {
    if (at !== phase || (seen += 1) !== nth) return;
    clearTimeout(bound);
    arrived();
    await released;
  });
  return { reached, goOn };
}

/** Returns when the attempt is held; throws what it ended with where it ends before that. */
export async function untilHeld({ reached }: Held, attempt: Promise<unknown>): Promise<void> {
  const ended = attempt.then((result) => {
    throw new Error(`the attempt ended before it was held: ${JSON.stringify(result)}`);
  });
  await Promise.race([reached, ended]);
}

export function noFaults(): void {
  onFaultPoint(null);
}

function gate(): [Promise<void>, () => void, (error: Error) => void] {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  return [promise, resolve, reject];
}
