/** A sync that a command needs before its own work. */
import type { Destination } from '../destinations/postgres/destination.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { withTemporal, type Place } from './open.ts';
import { finishSync, startSyncs } from './sync.ts';
import { requireWorker } from './workers.ts';

/** Syncs one stream and waits for its end. Throws the stream's own error where it has one, `temporal.unreachable` and `temporal.no_worker` where nobody is there to run it. */
export async function settleStream(place: Place, destination: Destination, source: string, stream: string): Promise<void> {
  await withTemporal(place, async (temporal) => {
    await requireWorker(temporal);
    const started = await startSyncs(temporal.client, { sources: [source], streams: [stream], full: false });
    for (const run of started) {
      const error = (await finishSync(temporal.client, destination, run)).find((each) => each.stream === stream)?.error ?? null;
      if (error !== null) throw new TidemarkError(error.code, error.message, { hint: error.hint ?? undefined });
    }
  });
}
