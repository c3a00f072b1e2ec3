import { Places } from '../runtime/places.ts';

/** Polls and the little syncs within them that one process works on at once; each may hold sessions of its source and of the destination. */
const POLLS_AT_ONCE = 40;

const polls = new Places(POLLS_AT_ONCE);

/**
 * Runs `work` as soon as there is room, in the order of asking. A poll that only waits for its instant needs no room, so that many more windows
 * than this may rest in their calls.
 */
export function whenThereIsRoom<T>(work: () => Promise<T>): Promise<T> {
  return polls.run(work);
}
