/**
 * How far V8's heap may grow between two collections while many rows pass in buffers of their own. A buffer hangs on a small object, so V8 counts little garbage,
 * but collects the whole heap again and again for the memory outside of it; docs/performance.md has what that cost.
 */
import { setFlagsFromString } from 'node:v8';

/** In percent of what a collection leaves; 0: as V8 sees fit, which is about a third. */
const BULK_GROWTH_PERCENT = 200;
const USUAL_GROWTH_PERCENT = 0;

let bulks = 0;

/** Lets the heap grow until what is returned was called, once. V8 asks at the end of each collection. */
export function letHeapGrow(): () => void {
  if (bulks++ === 0) setGrowth(BULK_GROWTH_PERCENT);
  let over = false;
  return () => {
    if (over) return;
    over = true;
    if (--bulks === 0) setGrowth(USUAL_GROWTH_PERCENT);
  };
}

function setGrowth(percent: number): void {
  setFlagsFromString(`--heap-growing-percent=${percent}`);
}
