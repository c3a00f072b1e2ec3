/** Retention of a stream: rows of its target that are past their time go in small batches, after a sync. */
import { readPlan } from '../destinations/postgres/catalog.ts';
import type { Session } from '../destinations/postgres/destination.ts';
import { readWatermark, writeLedger } from '../destinations/postgres/ledger.ts';
import { deletePast, readPass, recordRetention, savePass, type RetentionScope } from '../destinations/postgres/retention.ts';
import { inspectTable } from '../destinations/postgres/target.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Engine } from './engine.ts';
import { faultPoint } from './fault-point.ts';
import { retentionScope } from './retention-plan.ts';
import type { StreamPlan } from './stream-plan.ts';
import { touchLogOf } from './touch-log.ts';

/** How long a run deletes at most; the rest is left to the next one. */
const PASS_MS_MAX = 20_000;
const LOCK_WAIT = '2s';
/** Pages of one transaction: more where nothing is found, fewer where much is. */
const PAGES_MIN = 128;
const PAGES_MAX = 8_192;

/**
 * Deletes rows of the stream's target that are past, a bounded number in each transaction with a record of it, for a bounded time. Idempotent; what a
 * crash leaves, or time, the next run finds. Returns the number of rows; 0 also where a pass has ended lately.
 */
export async function applyRetention(engine: Engine, source: string, stream: string, runId: string, signal: AbortSignal): Promise<number> {
  const plan = (await engine.destination.session('reading a plan', (session) => readPlan(session, source, stream))) as StreamPlan | null;
  const scope = plan === null ? null : retentionScope(plan, plan.target, runId);
  if (plan === null || scope === null) return 0;
  const { retention } = scope;
  const start = await engine.destination.session('reading retention', async (session) => ({
    pass: await readPass(session, source, stream, retention),
    there: await hasColumn(session, scope),
  }));
  if (start.pass.rested || !start.there) return 0;
  const generation = (await readWatermark(engine.destination, source, stream))?.generation ?? 1;
  const until = performance.now() + PASS_MS_MAX;
  let [page, pages, deleted, ended] = [start.pass.page, PAGES_MIN, 0, false];
  while (!ended && performance.now() < until && !signal.aborted) {
    const looked = await engine.destination.transaction('applying retention', (session) => deleteOnce(session, plan, scope, generation, page, pages));
    deleted += looked.deleted;
    ended = looked.end && !looked.full;
    if (!looked.full) page += pages;
    pages = looked.full ? Math.max(PAGES_MIN, pages / 4) : Math.min(PAGES_MAX, pages * 2);
    await faultPoint('PD', 'retention pass');
  }
  await engine.destination.session('keeping a retention pass', (session) => savePass(session, source, stream, retention, ended ? 0 : page, ended));
  return deleted;
}

/** {@link applyRetention} after a sync that went well: what hinders it is a remark, and the next run tries again. */
export async function tryRetention(engine: Engine, run: { readonly source: string; readonly stream: string; readonly runId: string }, signal: AbortSignal): Promise<string[]> {
  try {
    await applyRetention(engine, run.source, run.stream, run.runId, signal);
    return [];
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    return [`rows past their time were not deleted: ${error.code}. ${error.message}`];
  }
}

async function deleteOnce(session: Session, plan: StreamPlan, scope: RetentionScope, generation: number, page: number, pages: number) {
  await session.query(`set local lock_timeout = '${LOCK_WAIT}'`);
  const touchLog = touchLogOf(plan);
  // Followers of the ledger learn of touched rows by their batch.
  const batch = touchLog === null ? null : Number((await session.query<{ batch: string }>("select nextval('tidemark.batch_id') as batch")).rows[0]!.batch);
  const looked = await deletePast(session, scope, page, pages, touchLog, batch);
  if (batch !== null && looked.deleted > 0) {
    const nothing = { read: 0, written: 0, unchanged: 0, rejected: 0, superseded: 0, deleted: 0, bytes: 0, from: null, to: null, hash: '' };
    await writeLedger(session, { ...nothing, batch, source: scope.source, stream: scope.stream, runId: scope.runId ?? '', generation, kind: 'retention' });
  }
  await recordRetention(session, scope, looked.deleted, batch);
  await faultPoint('PD', 'retention');
  return looked;
}

/** A target that somebody has altered or dropped is the next sync's matter. */
async function hasColumn(session: Session, { target, retention }: RetentionScope): Promise<boolean> {
  return (await inspectTable(session, target))?.columns.some((column) => column.name === retention.column && column.type === retention.type) ?? false;
}
