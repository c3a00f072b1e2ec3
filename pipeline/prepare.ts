import type { Capabilities, SourceSession } from '../connectors/connector.ts';
import { listStreams, requireSource, savePlan, unknownStream, type CatalogStream } from '../destinations/postgres/catalog.ts';
import { readWatermark } from '../destinations/postgres/ledger.ts';
import { startBuild } from './build.ts';
import { buildStart, readDecisions } from './decisions.ts';
import { isBuilding, masksOfTarget } from '../destinations/postgres/generation.ts';
import { loadKeys, withSource, type Engine, type OpenedSource } from './engine.ts';
import { requireWatermarkReached } from './fallback-reach.ts';
import { faultPoint } from './fault-point.ts';
import { maskFingerprint } from './masks/masking.ts';
import { followShape } from './follow-shape.ts';
import { reviewStream, type StreamReview } from './stream-review.ts';

export interface PrepareStep {
  readonly source: string;
  readonly stream: string;
  /** Build anew, whatever was begun before. */
  readonly full: boolean;
  /** Go on with what `full` has begun, where that is not in the target's place yet. */
  readonly goesOn?: boolean;
}

/** What a run of a stream has to do; ids and states only. */
export type Prepared =
  | { readonly action: 'increment'; readonly generation: number; readonly notes: readonly string[] }
  | { readonly action: 'build'; readonly generation: number; readonly parts: readonly number[]; readonly catchUp: boolean; readonly notes: readonly string[]; /** Parts that may be read side by side. */ readonly partsAtOnce?: number };

/**
 * Looks at source and target anew, makes the stream's plan and keeps it for the batches that follow, makes the target ready, and decides
 * between reading on and building. Idempotent. Throws what is wrong with the settings, the source's table or the target; no row has been read then.
 */
export async function prepareStream(engine: Engine, step: PrepareStep, capabilities: Capabilities, partRowsMax: number, signal: AbortSignal): Promise<Prepared> {
  const stream = await requireStream(engine, step.source, step.stream);
  const prepare = async (source: OpenedSource): Promise<Prepared> => {
    await requireWatermarkReached(engine, source, step.source, step.stream);
    const decisions = await engine.destination.session('looking for decisions', (session) => readDecisions(session, step.source, step.stream));
    const { plan, rebuild } = await settlePlan(engine, stream, source, capabilities, step.full || decisions.reset);
    const watermark = await readWatermark(engine.destination, step.source, step.stream);
    const keys = await loadKeys(engine, plan);
    const remask = (await engine.destination.session('looking at a target', (session) => masksOfTarget(session, step.source, step.stream))) !== maskFingerprint(plan, keys);
    const unfinished = step.goesOn === true && (await engine.destination.session('looking for a build', (session) => isBuilding(session, step.source, step.stream)));
    if (watermark?.position && plan.strategy === 'incremental' && !step.full && !unfinished && !rebuild && !remask && !decisions.reset && decisions.swap?.state !== 'approved') {
      return { action: 'increment', generation: watermark.generation, notes: plan.notes };
    }
    const building = await startBuild(engine, source, plan, partRowsMax, buildStart(decisions, plan.strategy, step.full));
    return { action: 'build', generation: building.generation, parts: building.openParts, catchUp: plan.strategy === 'incremental', notes: plan.notes, partsAtOnce: stream.settings.sessionsMax };
  };
  return withSource(engine, step, signal, prepare, 'sync');
}

/** Makes the target ready for the source's table as it is now. Throws what only a person can decide; nothing has been written then. */
async function settlePlan(engine: Engine, stream: CatalogStream, source: SourceSession, capabilities: Capabilities, full: boolean): Promise<StreamReview> {
  const table = await source.describe(stream.settings.name, stream.settings.types);
  return engine.destination.transaction('preparing a target', async (session) => {
    const review = await reviewStream(session, { source: stream.source, settings: stream.settings, table, capabilities, full });
    if (review.refusal !== null) throw review.refusal;
    for (const change of review.changes) await change.make(session);
    if (review.changes.length > 0) await faultPoint('PD', 'target');
    await savePlan(session, stream.source, stream.stream, review.plan);
    if (!review.rebuild) await followShape(session, review.plan, review.followed);
    return review;
  });
}

export async function requireStream(engine: Engine, sourceId: string, name: string): Promise<CatalogStream> {
  return engine.destination.session('reading the catalog', async (session) => {
    const found = (await listStreams(session, sourceId)).find((stream) => stream.stream === name);
    if (found) return found;
    await requireSource(session, sourceId);
    throw unknownStream(sourceId, name);
  });
}
