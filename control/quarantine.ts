/** Rejected rows of a stream: what waits and why, and another try after a fix. */
import type { Destination } from '../destinations/postgres/destination.ts';
import { countWaiting, listWaiting, type WaitingRow } from '../destinations/postgres/quarantine.ts';
import { replayQuarantine, type Replayed } from '../pipeline/replay.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { requireStreamOf } from './history.ts';

export type { Replayed, WaitingRow };

export interface Quarantine {
  /** All that wait; `rows` holds the newest of them. */
  readonly waiting: number;
  readonly rows: readonly WaitingRow[];
}

/** The newest `limit` waiting rows, with their values. Throws `usage.unknown_source`, `usage.unknown_stream`. */
export async function readQuarantine(destination: Destination, source: string, stream: string, limit: number): Promise<Quarantine> {
  await requireStreamOf(destination, source, stream);
  return destination.session('reading the quarantine', async (session) => ({
    waiting: await countWaiting(session, source, stream),
    rows: await listWaiting(session, source, stream, limit),
  }));
}

/** See {@link replayQuarantine}. Throws `usage.unknown_source`, `usage.unknown_stream` as well. */
export async function replay(destination: Destination, source: string, stream: string): Promise<Replayed> {
  await requireStreamOf(destination, source, stream);
  return replayQuarantine(destination, source, stream);
}

/**
 * Replays by the settings as applied. Where they were applied after the stream's last sync, `sync` is called first, so that the target fits them; it is called only
 * for a stream with waiting rows. Throws as {@link replay}, and what `sync` throws.
 */
export async function replayAsApplied(destination: Destination, source: string, stream: string, sync: () => Promise<void>): Promise<Replayed> {
  try {
    return await replay(destination, source, stream);
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.code !== 'run.not_applied') throw error;
    if ((await destination.session('reading the quarantine', (session) => countWaiting(session, source, stream))) === 0) throw error;
  }
  await sync();
  return replay(destination, source, stream);
}
