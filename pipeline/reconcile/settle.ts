/** The second look: keys that differed, after what was on its way has arrived. */
import type { RowRead, SourceSession } from '../../connectors/connector.ts';
import { beginComparison, hashedRows } from '../../destinations/postgres/digest.ts';
import { countDifferences, countOpen, createCandidates, isCandidate, nextKeys, settleCandidates, type DifferenceCounts, type DifferenceOwner, type FoundKey, type Side } from '../../destinations/postgres/difference.ts';
import { forgetRejected } from '../../destinations/postgres/rejected-keys.ts';
import { loadPlan, withSource, type Engine, type OnProgress } from '../engine.ts';
import { planComparison, rejectedKeyOf, type Comparison } from './comparison.ts';
import { copyForComparison } from './copied-rows.ts';
import { whileNotAborted } from './compare.ts';

/** Keys that are looked at together: a few hundred kilobytes of SQL. */
export const KEYS_AT_ONCE = 2_000;

export interface Settled extends DifferenceCounts {
  /** Keys that moved again at the source. */
  readonly open: number;
}

/**
 * Looks again at the keys that are not settled. Idempotent. What remains is a difference where the source has not moved since the look before;
 * call it after a sync that began after that look.
 */
export async function settleDifferences(engine: Engine, owner: DifferenceOwner, signal: AbortSignal, onProgress: OnProgress): Promise<Settled> {
  const plan = await loadPlan(engine, owner.source, owner.stream);
  await withSource(engine, owner, signal, async (source) => {
    const comparison = await planComparison(engine, source, plan);
    const key = comparison.key.map(({ name }) => name);
    let keys = await next(engine, owner, key, '0');
    while (keys.length > 0) {
      await lookAgain(engine, source, comparison, keys, signal, onProgress);
      keys = await next(engine, owner, key, keys.at(-1)!.id);
    }
    if (key.length > 0) await engine.destination.session('passing over rejected rows', (session) => forgetRejected(session, owner, plan.target, rejectedKeyOf(comparison)));
  });
  return engine.destination.session('counting differences', async (session) => ({ ...(await countDifferences(session, owner)), open: await countOpen(session, owner) }));
}

async function next(engine: Engine, owner: DifferenceOwner, key: readonly string[], after: string): Promise<FoundKey[]> {
  return engine.destination.session('reading differences', (session) => nextKeys(session, owner, key, false, after, KEYS_AT_ONCE));
}

/** Looks at some keys at both ends; the source first, so that what it has can only be older than what the target has. */
export async function lookAgain(engine: Engine, source: SourceSession, comparison: Comparison, keys: readonly FoundKey[], signal: AbortSignal, onProgress: OnProgress): Promise<void> {
  await engine.destination.session('looking again', (session) =>
    whileNotAborted(engine, session, signal, async () => {
      // Not one snapshot: the target's rows are read after the source's have arrived.
      await beginComparison(session, 'read committed');
      await createCandidates(session, keys.map(({ id }) => id), comparison.key);
      await copyForComparison(session, comparison, await readKeyed(source, comparison, keys), signal, onProgress);
      const target = { ...comparison.target, where: [comparison.target.where, isCandidate(comparison.target.key)].filter((each) => each !== null).join(' and ') };
      await settleCandidates(session, comparison.key.length, all(hashedRows(comparison.copied)), all(hashedRows(target)));
      await session.query('commit');
    }),
  );
}

const all = (rows: string): Side => ({ rows, where: 'true' });

/** Rows of the keys; of the whole table where the source can't be asked for keys. */
async function readKeyed(source: SourceSession, { read, plan }: Comparison, keys: readonly FoundKey[]): Promise<RowRead> {
  if (source.readKeys !== undefined) return source.readKeys(read, keys.map(({ values }) => values), 'copy-text');
  return source.readPart(read, { from: null, to: null, rowEstimate: plan.read.table.rowEstimate }, 'copy-text');
}
