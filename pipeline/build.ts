/** The ends of a full build: what it starts with, and how it takes the target's place. Its parts are copied by `copy-part.ts`. */
import type { SourceSession } from '../connectors/connector.ts';
import { adoptMasks, changesMasks, dropBuilding, findBuilding, keyGeneration, readBuilding, startGeneration, type Building } from '../destinations/postgres/generation.ts';
import { emitSwapped } from '../destinations/postgres/events.ts';
import { formatTableName } from '../destinations/postgres/identifiers.ts';
import { closeBeforeBuild } from '../destinations/postgres/quarantine.ts';
import { countForSwap, swapGeneration, type Swap, type SwapResult } from '../destinations/postgres/swap.ts';
import type { Approval } from '../destinations/postgres/approvals.ts';
import { forgetTouches } from '../destinations/postgres/touch.ts';
import { DELETED_COLUMN } from '../destinations/postgres/digest.ts';
import { carryMarked } from './deletes/carry-marked.ts';
import { loadKeys, loadPlan, type Engine } from './engine.ts';
import { followShape } from './follow-shape.ts';
import { faultPoint } from './fault-point.ts';
import { maskFingerprint } from './masks/masking.ts';
import { NO_MASKS } from './masks/masked-columns.ts';
import { positionSeal } from './masks/sealed-position.ts';
import { retentionScope } from './retention-plan.ts';
import { askWhereShrinking, waitsForDecision } from './shrink.ts';
import { shapeHash, targetColumnsOf, type StreamPlan } from './stream-plan.ts';

/** A table that nothing can catch up, or whose key may repeat, is one part: its rows must come from one snapshot. */
const ONE_PART: number = Number.MAX_SAFE_INTEGER;

/** Parts that are copied side by side can't see each other's values. */
function hasUnique(plan: StreamPlan): boolean {
  return (plan.rules ?? []).some((rule) => rule.check === 'unique');
}

/** How long one attempt at a key or a swap waits for another. */
const BUILD_LOCK_WAIT = '15min';
const SWAP_LOCK_WAIT = '30s';

/**
 * - `fresh`: an earlier build is dropped.
 * - `approved`: the finished build that a person has approved is taken up, also where a stream is otherwise built anew in every run.
 */
export type BuildStart = 'fresh' | 'approved' | 'usual';

/** Goes on with an interrupted build of the same shape, or starts the next generation. */
export async function startBuild(engine: Engine, source: SourceSession, plan: StreamPlan, partRowsMax: number, start: BuildStart): Promise<Building> {
  const keys = await loadKeys(engine, plan);
  const masks = maskFingerprint(plan, keys);
  const hash = shapeHash(plan, masks);
  if (start !== 'fresh' && (plan.strategy === 'incremental' || start === 'approved')) {
    const found = await engine.destination.transaction('looking for a build', (session) => findBuilding(session, plan.source, plan.stream, hash));
    if (found !== null) return found;
  }
  const inOne = plan.strategy === 'rebuild' || !plan.keyProven || hasUnique(plan);
  const full = await source.planFull(plan.read, { rowsMax: inOne ? ONE_PART : (plan.batchRowsMax ?? partRowsMax), isUsual: plan.batchRowsMax === null });
  const seal = positionSeal(plan.masks ?? NO_MASKS, plan, keys);
  return engine.destination.transaction('starting a build', async (session) => {
    await dropBuilding(session, plan.source, plan.stream);
    const started = await startGeneration(session, {
      source: plan.source,
      stream: plan.stream,
      target: plan.target,
      retype: plan.retype ?? [],
      updated: plan.mode === 'upsert' && plan.strategy === 'incremental',
      shapeHash: hash,
      masks,
      position: seal.sealPosition(full.position),
      guarantee: full.guarantee,
      asOf: full.asOf,
      parts: full.parts.map((part) => seal.sealPart(part)),
    });
    await faultPoint('PD', 'build');
    return started;
  });
}

/** Builds the key over the copied parts; afterwards the generation can be caught up by key. Idempotent. */
export async function keyBuild(engine: Engine, source: string, stream: string, generation: number): Promise<void> {
  const plan = await loadPlan(engine, source, stream);
  await engine.destination.transaction('building the key', async (session) => {
    // Two attempts at once take turns: the later one finds the key built. A large table's takes minutes.
    await session.query(`set local lock_timeout = '${BUILD_LOCK_WAIT}'`);
    await session.query('select from tidemark.generation where source = $1 and stream = $2 and generation = $3 for update', [source, stream, generation]);
    const building = await readBuilding(session, source, stream, generation);
    await keyGeneration(session, source, stream, building, plan.key);
    await faultPoint('PD', 'key');
  });
}

/**
 * Puts the generation in the target's place, with the watermark, in one transaction. Idempotent: swapped once, it is not building any more.
 * Throws `target.shrinks` where so many rows would vanish that a person has to decide: the generation stays as it is until then.
 */
export async function finishBuild(engine: Engine, source: string, stream: string, generation: number, runId: string | null = null): Promise<SwapResult> {
  const plan = await loadPlan(engine, source, stream);
  const result = await engine.destination.transaction<SwapResult | Approval>('swapping a generation', async (session) => {
    await session.query(`set local lock_timeout = '${BUILD_LOCK_WAIT}'`);
    const { rows } = await session.query<{ state: string }>('select state from tidemark.generation where source = $1 and stream = $2 and generation = $3 for update', [source, stream, generation]);
    // Whoever waits for the target's exclusive lock holds up all its readers, so that wait is short.
    await session.query(`set local lock_timeout = '${SWAP_LOCK_WAIT}'`);
    if (rows[0]?.state === 'current') return 'swapped';
    if (rows[0]?.state === 'dropped') return 'unchanged';
    const building = await readBuilding(session, source, stream, generation);
    const hides = await changesMasks(session, source, stream, generation);
    const swap: Swap = {
      source,
      stream,
      target: plan.target,
      building,
      columns: [...[...targetColumnsOf(plan), ...(plan.retired ?? [])].map((column) => column.name), ...(plan.marksDeletes === true ? [DELETED_COLUMN] : [])],
      marks: plan.marksDeletes === true,
      retention: retentionScope(plan, plan.target, runId),
      deleteCap: plan.deleteCap,
      appends: plan.mode === 'append',
      // What is hidden from now on must not stand in an older build either.
      keepGenerations: hides ? 0 : plan.keepGenerations,
    };
    const counts = await countForSwap(session, swap);
    const asked = await askWhereShrinking(session, swap, counts, runId);
    if (asked !== null) return asked;
    await carryMarked(session, plan, swap);
    const result = await swapGeneration(session, swap, counts);
    if (result === 'swapped') await emitSwapped(session, source, stream, formatTableName(plan.target), generation, (plan.touchLog ?? []).length > 0);
    if (hides) await forgetTouches(session, source, stream);
    await closeBeforeBuild(session, source, stream, generation);
    if (plan.pending !== undefined) await followShape(session, plan, plan.pending);
    if (hides && result === 'unchanged') await adoptMasks(session, source, stream, generation);
    await faultPoint('PD', 'swap');
    return result;
  });
  if (typeof result !== 'string') throw waitsForDecision(result);
  return result;
}
