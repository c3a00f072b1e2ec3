import type { Capabilities, SourceSession } from '../connectors/connector.ts';
import { findSource, listStreams, readPlan, savePlan, type CatalogStream } from '../destinations/postgres/catalog.ts';
import { readWatermark } from '../destinations/postgres/ledger.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { startBuild } from './build.ts';
import { buildStart, readDecisions } from './decisions.ts';
import { masksOfTarget } from '../destinations/postgres/generation.ts';
import { loadKeys, withSource, type Engine, type OpenedSource } from './engine.ts';
import { requireWatermarkReached } from './fallback-reach.ts';
import { faultPoint } from './fault-point.ts';
import { maskFingerprint } from './masks/masking.ts';
import { makeStreamPlan, type StreamPlan } from './stream-plan.ts';
import { reviewTarget } from './target-changes.ts';

export interface PrepareStep {
  readonly source: string;
  readonly stream: string;
  readonly full: boolean;
}

/** What a run of a stream has to do; ids and states only. */
export type Prepared =
  | { readonly action: 'increment'; readonly generation: number; readonly notes: readonly string[] }
  | { readonly action: 'build'; readonly generation: number; readonly parts: readonly number[]; readonly catchUp: boolean; readonly notes: readonly string[] };

/**
 * Looks at source and target anew, makes the stream's plan and keeps it for the batches that follow, makes the target ready, and decides
 * between reading on and building. Idempotent. Throws what is wrong with the settings, the source's table or the target; no row has been read then.
 */
export async function prepareStream(engine: Engine, step: PrepareStep, capabilities: Capabilities, partRowsMax: number, signal: AbortSignal): Promise<Prepared> {
  const stream = await requireStream(engine, step.source, step.stream);
  const prepare = async (source: OpenedSource): Promise<Prepared> => {
    await requireWatermarkReached(engine, source, step.source, step.stream);
    const decisions = await engine.destination.session('looking for decisions', (session) => readDecisions(session, step.source, step.stream));
    const plan = await settlePlan(engine, stream, source, capabilities, step.full || decisions.reset);
    const watermark = await readWatermark(engine.destination, step.source, step.stream);
    const keys = await loadKeys(engine, plan);
    const remask = (await engine.destination.session('looking at a target', (session) => masksOfTarget(session, step.source, step.stream))) !== maskFingerprint(plan, keys);
    if (watermark?.position && plan.strategy === 'incremental' && !step.full && !remask && !decisions.reset && decisions.swap?.state !== 'approved') {
      return { action: 'increment', generation: watermark.generation, notes: plan.notes };
    }
    const building = await startBuild(engine, source, plan, partRowsMax, buildStart(decisions, plan.strategy, step.full));
    return { action: 'build', generation: building.generation, parts: building.openParts, catchUp: plan.strategy === 'incremental', notes: plan.notes };
  };
  return withSource(engine, step.source, signal, prepare, 'sync');
}

async function settlePlan(engine: Engine, stream: CatalogStream, source: SourceSession, capabilities: Capabilities, full: boolean): Promise<StreamPlan> {
  const table = await source.describe(stream.settings.name, stream.settings.types);
  const drafted = makeStreamPlan(stream.source, stream.settings, table, capabilities);
  return engine.destination.transaction('preparing a target', async (session) => {
    requireSameIdentity((await readPlan(session, stream.source, stream.stream)) as StreamPlan | null, drafted);
    const review = await reviewTarget(session, drafted, full || drafted.strategy === 'rebuild');
    for (const change of review.changes) await change.make(session);
    if (review.changes.length > 0) await faultPoint('PD', 'target');
    await savePlan(session, stream.source, stream.stream, review.plan);
    return review.plan;
  });
}

/** What was discovered once and is gone now is an error, not a reason to read another way in silence. */
function requireSameIdentity(before: StreamPlan | null, now: StreamPlan): void {
  if (before === null || before.mode !== now.mode) return;
  const lost = before.read.key.find((name) => !now.read.table.columns.some((column) => column.name === name));
  if (lost !== undefined || (before.key.length > 0 && now.key.length === 0)) {
    throw new TidemarkError('source.key_missing', `The key of ${now.stream} (${before.read.key.join(', ')}) is gone at the source.`, { hint: 'Restore it, or name the columns that identify a row with key: [...] and apply.' });
  }
  if (before.read.cursor !== null && !now.read.table.columns.some((column) => column.name === before.read.cursor)) {
    throw new TidemarkError('source.cursor_missing', `The cursor column ${before.read.cursor} of ${now.stream} is gone at the source.`, { hint: 'Restore it, or name another with cursor: ... and apply.' });
  }
}

export async function requireStream(engine: Engine, sourceId: string, name: string): Promise<CatalogStream> {
  return engine.destination.session('reading the catalog', async (session) => {
    const found = (await listStreams(session, sourceId)).find((stream) => stream.stream === name);
    if (found) return found;
    if ((await findSource(session, sourceId)) === null) throw new TidemarkError('usage.unknown_source', `There is no source ${sourceId} in the catalog.`, { hint: 'Run tidemark apply first.' });
    throw new TidemarkError('usage.unknown_stream', `Source ${sourceId} has no stream ${name} in the catalog.`, { hint: 'Run tidemark apply after a change of the file.' });
  });
}
