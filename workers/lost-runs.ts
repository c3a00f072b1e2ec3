/**
 * Comparisons and backfills whose workflow was terminated, or that Temporal has forgotten: they can't write their end themselves, and unlike a
 * sync no later run of their source waits for their turn and finds them gone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { endIfLost } from '../activities/run-activities.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import { listBesideSyncs } from '../destinations/postgres/runs.ts';

const LOOK_EVERY_MS = 10_000;

/** Looks until the signal. A run that is gone ends as `lost`; what it committed stays, and a new one goes on from there. */
export async function endLostRuns(destination: Destination, temporal: Client, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const runs = await destination.session('looking for lost runs', listBesideSyncs);
    for (const run of runs) if (!signal.aborted) await endIfLost(destination, temporal, run);
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}
