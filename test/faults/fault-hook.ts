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

export interface Held {
  /** Resolves when an attempt stands at the phase. */
  readonly reached: Promise<void>;
  readonly goOn: () => void;
}

/** Holds the first attempt that reaches the phase, as a machine that was put to sleep; later ones pass. */
export function holdAt(phase: FaultPhase): Held {
  const [reached, arrived] = gate();
  const [released, goOn] = gate();
  let held = false;
  onFaultPoint(async (at) => {
    if (at !== phase || held) return;
    held = true;
    arrived();
    await released;
  });
  return { reached, goOn };
}

export function noFaults(): void {
  onFaultPoint(null);
}

function gate(): [Promise<void>, () => void] {
  const { promise, resolve } = Promise.withResolvers<void>();
  return [promise, resolve];
}
