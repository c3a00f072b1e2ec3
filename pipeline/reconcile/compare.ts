/** The first look: counts and sums of hashes of both sides at once, then the keys of what differs. */
import type { SourceSession } from '../../connectors/connector.ts';
import { beginComparison, digestTable, hashedRows } from '../../destinations/postgres/digest.ts';
import { clearDifferences, copiedKeys, countDifferences, countUnkeyed, createKeysTable, recordDifferences, settleAll, sideOf, SOURCE_KEYS, type DifferenceCounts, type DifferenceOwner, type Side } from '../../destinations/postgres/difference.ts';
import { countWaiting } from '../../destinations/postgres/quarantine.ts';
import { forgetRejected } from '../../destinations/postgres/rejected-keys.ts';
import { formatTableName } from '../../destinations/postgres/identifiers.ts';
import { readWatermark } from '../../destinations/postgres/ledger.ts';
import type { Session } from '../../destinations/postgres/destination.ts';
import { copyInSql } from '../../destinations/postgres/stage.ts';
import { differingBuckets, rowsOf, type Digest, type ReconcileResult } from '../../schemas/comparison.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { copyRows, keepError } from '../copy-rows.ts';
import { loadPlan, withSource, type Engine, type OnProgress } from '../engine.ts';
import { pollStreams } from '../poll.ts';
import { copyForComparison } from './copied-rows.ts';
import { planComparison, rejectedKeyOf, type Comparison } from './comparison.ts';

/** So many rows share a bucket: what one differing row costs in keys that are fetched, against the size of the sums. */
const ROWS_PER_BUCKET = 1024;
const BUCKETS_MIN = 1024;
const BUCKETS_MAX = 65_536;

export interface FirstLook extends ReconcileResult {
  /** Rows may have been on their way: what differs is to be looked at again after a sync. */
  readonly mayBeOnTheirWay: boolean;
}

interface Looking {
  readonly source: SourceSession;
  readonly comparison: Comparison;
  readonly owner: DifferenceOwner;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

interface Seen {
  readonly sourceRows: number;
  readonly targetRows: number;
  readonly counts: DifferenceCounts;
  readonly asOf: string;
}

/**
 * Compares a stream as a whole. Each side is read once, in one snapshot, both at the same time; where nothing differs, only sums have crossed
 * the network. Keys that differ are written into `tidemark.difference` in the place of what an earlier comparison found. Idempotent.
 * Throws `run.not_applied`, `run.incomplete` where the stream was never synced.
 */
export async function compareStream(engine: Engine, owner: DifferenceOwner, signal: AbortSignal, onProgress: OnProgress): Promise<FirstLook> {
  const plan = await loadPlan(engine, owner.source, owner.stream);
  if ((await readWatermark(engine.destination, owner.source, owner.stream)) === null) {
    throw new TidemarkError('run.incomplete', `Stream ${owner.stream} was never synced to its end.`, { hint: `Run tidemark sync ${owner.source} first.` });
  }
  return withSource(engine, owner, signal, async (source) => {
    const comparison = await planComparison(engine, source, plan);
    const news = await newsBefore(engine, source, owner);
    const looking: Looking = { source, comparison, owner, signal, onProgress };
    const seen = await engine.destination.session('comparing a target', (session) => whileNotAborted(engine, session, signal, () => look(session, looking)));
    const { missing, extra, different } = seen.counts;
    const found = missing + extra + different;
    const quarantined = await engine.destination.session('counting rejected rows', (session) => countWaiting(session, owner.source, owner.stream));
    const mayBeOnTheirWay = found > 0 && (news || (await newsBefore(engine, source, owner)));
    if (!mayBeOnTheirWay) await engine.destination.session('settling differences', (session) => settleAll(session, owner));
    return {
      source: owner.source,
      stream: owner.stream,
      target: formatTableName(plan.target),
      sourceRows: seen.sourceRows,
      targetRows: seen.targetRows,
      missing,
      extra,
      different,
      unsettled: 0,
      repaired: 0,
      remaining: found,
      quarantined,
      notCompared: comparison.notCompared,
      named: comparison.key.length > 0,
      way: comparison.atSource === null ? 'extract' : 'digest',
      asOf: seen.asOf,
      notes: notesOf(comparison, quarantined),
      mayBeOnTheirWay,
    };
  });
}

function notesOf({ notCompared, key }: Comparison, quarantined: number): string[] {
  const known = key.length === 0 ? 'without a key they are among those that are missing' : 'they are no differences';
  return [...(notCompared.length === 0 ? [] : [`not compared: ${notCompared.join(', ')}`]), ...(quarantined === 0 ? [] : [`${quarantined.toLocaleString('en-US')} rejected rows wait in quarantine: ${known}`])];
}

/**
 * True unless the source promises that nothing came since the watermark. Asked before and after the look: false both times means that the
 * target held every row the look could see, and none that came later.
 */
async function newsBefore(engine: Engine, source: SourceSession, owner: DifferenceOwner): Promise<boolean> {
  return (await pollStreams(engine, source, owner.source, [owner.stream], false)).length > 0;
}

async function look(session: Session, looking: Looking): Promise<Seen> {
  await beginComparison(session);
  const seen = looking.comparison.atSource === null ? await lookAtCopy(session, looking) : await lookAtDigests(session, looking);
  await session.query('commit');
  return seen;
}

async function lookAtDigests(session: Session, looking: Looking): Promise<Seen> {
  const { source, comparison, owner, signal, onProgress } = looking;
  const { atSource, target, read } = comparison;
  const ability = source.comparison;
  if (atSource === null || ability === undefined) throw new TidemarkError('internal.unexpected', 'A source that does not hash was asked to.');
  const buckets = bucketsFor(comparison.plan.read.table.rowEstimate);
  const [ofSource, ofTarget] = await bothOf<Digest>(ability.digest(read, atSource, buckets), digestTable(session, target, buckets));
  const chosen = differingBuckets(ofSource.buckets, ofTarget.buckets);
  await clearDifferences(session, owner);
  const seen = { sourceRows: rowsOf(ofSource), targetRows: rowsOf(ofTarget), asOf: ofSource.asOf };
  if (chosen.length === 0) return { ...seen, counts: { missing: 0, extra: 0, different: 0 } };
  const names = await createKeysTable(session, comparison.key.map(({ type }) => type));
  const keys = keepError(await ability.keys(read, atSource, buckets, chosen));
  try {
    await copyRows(keys, session, copyInSql(SOURCE_KEYS, names, keys.format, { marked: keys.marksRejects, fresh: false }), signal, onProgress, null);
  } finally {
    keys.stream.destroy();
  }
  return { ...seen, counts: await record(session, comparison, owner, copiedKeys, sideOf(target, buckets, chosen)) };
}

/** Through the extract: the whole table is copied beside the target, and both are compared there. */
async function lookAtCopy(session: Session, looking: Looking): Promise<Seen> {
  const { source, comparison, owner, signal, onProgress } = looking;
  const asOf = new Date().toISOString();
  const read = await source.readPart(comparison.read, { from: null, to: null, rowEstimate: comparison.plan.read.table.rowEstimate }, 'copy-text');
  await copyForComparison(session, comparison, read, signal, onProgress);
  await clearDifferences(session, owner);
  const [copied, target] = [everything(hashedRows(comparison.copied)), everything(hashedRows(comparison.target))];
  const counts = await record(session, comparison, owner, copied, target);
  return { sourceRows: await countRows(session, copied), targetRows: await countRows(session, target), counts, asOf };
}

const everything = (rows: string): Side => ({ rows, where: 'true' });

async function record(session: Session, comparison: Comparison, owner: DifferenceOwner, source: Side, target: Side): Promise<DifferenceCounts> {
  const key = comparison.key.map(({ name }) => name);
  if (key.length === 0) return countUnkeyed(session, source, target);
  await recordDifferences(session, owner, key, source, target);
  await forgetRejected(session, owner, comparison.plan.target, rejectedKeyOf(comparison));
  return countDifferences(session, owner);
}

async function countRows(session: Session, side: Side): Promise<number> {
  const { rows } = await session.query<{ n: string }>(`select count(*) as n from ${side.rows} x`);
  return Number(rows[0]!.n);
}

export function bucketsFor(rowEstimate: number): number {
  const wanted = 2 ** Math.ceil(Math.log2(Math.max(1, rowEstimate / ROWS_PER_BUCKET)));
  return Math.min(BUCKETS_MAX, Math.max(BUCKETS_MIN, wanted));
}

/** Waits for both whatever happens, so that no statement goes on behind an error. */
async function bothOf<T>(a: Promise<T>, b: Promise<T>): Promise<[T, T]> {
  const [first, second] = await Promise.allSettled([a, b]);
  if (first.status === 'rejected') throw first.reason;
  if (second.status === 'rejected') throw second.reason;
  return [first.value, second.value];
}

/** Cancels the session's statement at the destination when the signal comes: a look at a large table takes minutes. */
export async function whileNotAborted<T>(engine: Engine, session: Session, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const { rows } = await session.query<{ pid: number }>('select pg_backend_pid() as pid');
  const cancel = (): void => void engine.destination.session('cancelling', (other) => other.query('select pg_cancel_backend($1)', [rows[0]!.pid])).catch(() => undefined);
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await work();
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
