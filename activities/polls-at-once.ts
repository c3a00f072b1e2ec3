/** Polls and the little syncs within them that one process works on at once; each may hold sessions of its source and of the destination. */
const POLLS_AT_ONCE = 40;

let running = 0;
const waiting: (() => void)[] = [];

/**
 * Runs `work` as soon as there is room, in the order of asking. A poll that only waits for its instant needs no room, so that many more windows
 * than this may rest in their calls.
 */
export async function whenThereIsRoom<T>(work: () => Promise<T>): Promise<T> {
  if (running < POLLS_AT_ONCE) running += 1;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await work();
  } finally {
    // Who waits longest takes the place over; it is never free in between.
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}
