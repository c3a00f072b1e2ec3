/** A random schedule of faults: a pure function of its seed and length, so that a run can be played again. */
import { seededRandom } from '../../support/random.ts';
import type { Toxic } from '../../support/tcp-proxy.ts';

/** What a fault is done to; none gets a second one before the first is healed. */
export type Victim = 'worker 1' | 'worker 2' | 'source' | 'destination' | 'Temporal' | "the source's line" | "the destination's line";

export type Injury =
  | { readonly kind: 'kill' | 'stop' | 'restart' }
  /** kill -9 of whichever worker reaches the place first. */
  | { readonly kind: 'kill at'; readonly phase: string }
  | { readonly kind: 'line'; readonly toxic: Toxic };

export interface ScheduledFault {
  readonly victim: Victim;
  readonly injury: Injury;
  readonly atMs: number;
  readonly healAtMs: number;
}

const FIRST_MS = 2_000;
const GAP_MS: readonly [number, number] = [1_000, 8_000];
const HURTS_MS: readonly [number, number] = [500, 15_000];
/** The end of a run is without faults. */
const QUIET_SHARE = 0.1;
const AT_ONCE_MAX = 3;

const PHASES = ['P0', 'P1', 'P3', 'P4', 'P5', 'P6', 'P7', 'P8', 'P9', 'PD'] as const;
const TOXICS: readonly Toxic[] = [{ kind: 'refuse' }, { kind: 'black hole' }, { kind: 'slices' }, { kind: 'trickle', bytesPerSecond: 4_000 }, { kind: 'limit', bytes: 8_000 }];

/** How often each is drawn, out of all. */
const INJURIES: readonly (readonly [weight: number, victims: readonly Victim[], make: (pick: Pick) => Injury])[] = [
  [3, ['worker 1', 'worker 2'], () => ({ kind: 'kill' })],
  [3, ['worker 1', 'worker 2'], (pick) => ({ kind: 'kill at', phase: pick(PHASES) })],
  [2, ['worker 1', 'worker 2'], () => ({ kind: 'stop' })],
  [1, ['source'], () => ({ kind: 'restart' })],
  [1, ['destination'], () => ({ kind: 'restart' })],
  [1, ['Temporal'], () => ({ kind: 'restart' })],
  [3, ["the source's line"], (pick) => ({ kind: 'line', toxic: pick(TOXICS) })],
  [3, ["the destination's line"], (pick) => ({ kind: 'line', toxic: pick(TOXICS) })],
];

type Pick = <T>(of: readonly T[]) => T;

export function scheduleOf(seed: number, minutes: number): readonly ScheduledFault[] {
  const random = seededRandom(seed);
  const pick: Pick = (of) => of[Math.floor(random() * of.length)] ?? (of[0] as never);
  const between = ([low, high]: readonly [number, number]) => Math.round(low + random() * (high - low));
  const drawn = INJURIES.flatMap((injury) => Array.from({ length: injury[0] }, () => injury));
  const endMs = minutes * 60_000 * (1 - QUIET_SHARE);
  const faults: ScheduledFault[] = [];
  for (let atMs = FIRST_MS; atMs < endMs; atMs += between(GAP_MS)) {
    const [, victims, make] = pick(drawn);
    const fault = { victim: pick(victims), injury: make(pick), atMs, healAtMs: Math.min(atMs + between(HURTS_MS), endMs) };
    const hurting = faults.filter(({ healAtMs }) => healAtMs > atMs);
    if (hurting.length < AT_ONCE_MAX && hurting.every(({ victim }) => victim !== fault.victim)) faults.push(fault);
  }
  return faults;
}

export function describeFault({ victim, injury, atMs, healAtMs }: ScheduledFault): string {
  const what = injury.kind === 'line' ? Object.values(injury.toxic).join(' ') : injury.kind === 'kill at' ? `kill at ${injury.phase}` : injury.kind;
  return `${(atMs / 1000).toFixed(1).padStart(7)} s to ${(healAtMs / 1000).toFixed(1).padStart(7)} s  ${victim}: ${what}`;
}
