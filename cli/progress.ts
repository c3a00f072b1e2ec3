import type { StartedSync } from '../control/sync.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import type { Output } from './output.ts';

/** Shows what a run commits while it goes on, on stderr, where a person looks. Returns what ends it. */
export function followSync(_output: Output, _destination: Destination, _started: readonly StartedSync[]): () => Promise<void> {
  return async () => undefined;
}
