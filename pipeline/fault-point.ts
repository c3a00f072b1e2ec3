/**
 * A place between two steps of a batch where a test may stop the world. Empty unless a test installs a hook. P0: an activity has begun;
 * P1, P3, P4: an extract before, in and after its copy; P5, P6, P7: a load after its merge, before and after its commit; P8: an activity's
 * work is committed, Temporal does not know it yet; PD: the destination's tables are being made, altered or swapped.
 */
export type FaultPhase = 'P0' | 'P1' | 'P3' | 'P4' | 'P5' | 'P6' | 'P7' | 'P8' | 'PD';

/** `place`: the activity (P0, P8) or the kind of change (PD). */
export type FaultHook = (phase: FaultPhase, place: string) => Promise<void>;

let hook: FaultHook | null = null;

/** Installs what happens at a phase; for test builds only. */
export function onFaultPoint(installed: FaultHook | null): void {
  hook = installed;
}

export async function faultPoint(phase: FaultPhase, place = ''): Promise<void> {
  if (hook !== null) await hook(phase, place);
}
