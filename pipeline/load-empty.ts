import { batchTransaction, takeBatch, type BatchStep } from '../destinations/postgres/batch.ts';
import { destinationError } from '../destinations/postgres/errors.ts';
import { holdBuilding } from '../destinations/postgres/generation.ts';
import { lockWatermark, type Counts } from '../destinations/postgres/ledger.ts';
import { NO_COUNTS } from '../schemas/run.ts';
import type { Engine } from './engine.ts';
import type { Extracted } from './extract.ts';
import { faultPoint } from './fault-point.ts';
import { closeRange } from './load.ts';

const NOTHING: Counts = { read: 0, written: 0, unchanged: 0, rejected: 0, superseded: 0, deleted: 0 };

/**
 * Loads a batch that has no rows, as most catch-ups of a build: only the ledger and the watermark are to be told. Left to the load step where that
 * would have to wait, since a key that is being built can take minutes. Idempotent; throws `batch.fenced`.
 */
export async function loadWhereEmpty(engine: Engine, step: BatchStep, extracted: Extracted): Promise<Extracted> {
  if (extracted.read > 0 || extracted.loaded !== undefined) return extracted;
  const open = await takeBatch(engine.destination, extracted.batch);
  if (open.state === 'loaded') return extracted;
  try {
    const loaded = await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
      const building = (await lockWatermark(session, step.source, step.stream)) !== step.generation;
      if (building && !(await holdBuilding(session, step))) return false;
      await closeRange(session, open, building, NOTHING);
      await faultPoint('P6');
      return true;
    });
    await faultPoint('P7');
    return loaded ? { ...extracted, loaded: { ...NO_COUNTS, batches: 1 } } : extracted;
  } catch (error) {
    throw destinationError(error, 'loading a batch');
  }
}
