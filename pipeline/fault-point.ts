/** A place between two steps of a batch where a test may stop the world. Empty unless a test build installs a hook. */
export type FaultPhase = 'P0' | 'P1' | 'P3' | 'P4' | 'P5' | 'P6' | 'P7';

let hook: ((phase: FaultPhase) => Promise<void>) | null = null;

/** Installs what happens at a phase; for test builds only. */
export function onFaultPoint(installed: ((phase: FaultPhase) => Promise<void>) | null): void {
  hook = installed;
}

export async function faultPoint(phase: FaultPhase): Promise<void> {
  if (hook !== null) await hook(phase);
}
