/**
 * A fallback may be a replica that lags. Rows that it does not have yet would be taken for rows that are not there, so it is asked before it is used:
 * incremental reads and polls compare positions themselves, other steps call these first. Both throw `source.replica_behind`.
 */
import type { StreamRead } from '../connectors/connector.ts';
import { readWatermark } from '../destinations/postgres/ledger.ts';
import type { Position } from '../schemas/position.ts';
import { loadPlan, loadSeal, type Engine, type OpenedSource } from './engine.ts';

/** Makes sure that the connection has come as far as a position. A poll compares it; what it answers does not matter here. */
export async function requireReached(source: OpenedSource, read: StreamRead, position: Position): Promise<void> {
  if (source.connection === 'fallback') await source.poll(read, position);
}

/** Makes sure that the connection has come as far as the stream's watermark. */
export async function requireWatermarkReached(engine: Engine, source: OpenedSource, sourceId: string, stream: string): Promise<void> {
  if (source.connection !== 'fallback') return;
  const watermark = await readWatermark(engine.destination, sourceId, stream);
  if (watermark === null || watermark.position === null) return;
  const plan = await loadPlan(engine, sourceId, stream);
  await requireReached(source, plan.read, (await loadSeal(engine, plan)).openPosition(watermark.position));
}
