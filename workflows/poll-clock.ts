/** When a poll window polls. Instants are multiples of the interval, shifted by source, so that a fleet does not poll at once. */

/** The end of the window that `now` lies in, when the schedule starts the next one: `offsetMs` after a multiple of its length. Milliseconds. */
export function windowEnd(now: number, windowMs: number, offsetMs = 0): number {
  return (Math.floor((now - offsetMs) / windowMs) + 1) * windowMs + offsetMs;
}

/** The instant whose poll is due now or overdue: a window begins with it at once, since the one before may have ended some time ago. */
export function firstTick(now: number, everyMs: number, phase: number): number {
  return Math.floor((now - phase) / everyMs) * everyMs + phase;
}

/** The poll after `tick`. Instants that a long poll has run over are left out. */
export function nextTick(now: number, tick: number, everyMs: number): number {
  const next = tick + everyMs;
  return next >= now ? next : next + Math.ceil((now - next) / everyMs) * everyMs;
}

/** How far a source's instants lie behind the multiples of its interval: spread evenly, also for names that differ in their last digits only. FNV-1a, mixed as in MurmurHash3. */
export function phaseOf(source: string, everyMs: number): number {
  let hash = 0x811c9dc5;
  for (const char of source) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return Math.floor((((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32) * everyMs);
}

/** Of windows that began before {@link phaseOf}: numbered names lie side by side. */
export function formerPhaseOf(source: string, everyMs: number): number {
  let hash = 0;
  for (const char of source) hash = (hash * 31 + char.codePointAt(0)!) % 1_000_003;
  return hash % everyMs;
}
