/** A backfill: a range of cursor values of one stream is read again, slice by slice, beside the live syncs. The live watermark never moves. */
import { endBackfill } from '../destinations/postgres/backfill-runs.ts';
import { forgetBatches } from '../destinations/postgres/batch.ts';
import { sumRun } from '../destinations/postgres/ledger.ts';
import { countSlices, findBackfill, listOpenSlices, listProof, reopenLostSlices, saveBackfill, saveSlices, type SliceCounts } from '../destinations/postgres/slices.ts';
import { dropStage, stageName } from '../destinations/postgres/stage.ts';
import type { BackfillRequest } from '../schemas/backfill-input.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { streamWords } from '../schemas/command-words.ts';
import type { StreamCounts } from '../schemas/run.ts';
import type { Column } from '../schemas/table.ts';
import { cutRange, parseRange, provenSlices, type RangeText } from './backfill-range.ts';
import { loadPlan, type Engine } from './engine.ts';
import { requireStream } from './prepare.ts';
import type { StreamPlan } from './stream-plan.ts';

/** Slices that one answer names; the next ones are asked for when these are done. */
const SLICES_LISTED = 200;

/** What is to be done, in ids and counts. */
export interface BackfillPlan {
  readonly backfill: number;
  readonly open: readonly number[];
  readonly slices: SliceCounts;
}

/** Throws `source.cursor_missing` for a stream that is built whole each time. */
export function cursorColumn(plan: StreamPlan): Column {
  const column = plan.read.table.columns.find((each) => each.name === plan.read.cursor);
  if (column !== undefined && plan.strategy === 'incremental') return column;
  throw new TidemarkError('source.cursor_missing', `Stream ${plan.stream} of ${plan.source} is read whole in each run, so there is no range of it to read again.`, { hint: 'Run tidemark sync --full for it.' });
}

/**
 * Cuts the range of a run into slices and writes them down, once; afterwards names what is still open. Idempotent. Throws what is wrong with the
 * range (`usage.invalid`) or the stream; raw bounds of number cursors are refused, since they would stand in Temporal's history.
 */
export async function planBackfill(engine: Engine, request: BackfillRequest, runId: string): Promise<BackfillPlan> {
  await requireStream(engine, request.source, request.stream);
  const plan = await loadPlan(engine, request.source, request.stream);
  const cursor = cursorColumn(plan);
  return engine.destination.transaction('planning a backfill', async (session) => {
    const { rowCount } = await session.query('select from tidemark.watermark where source = $1 and stream = $2', [request.source, request.stream]);
    if (rowCount !== 1) throw new TidemarkError('run.not_applied', `Stream ${request.stream} of ${request.source} has not been loaded yet.`, { hint: `Run tidemark sync ${streamWords(request)}: it loads the whole table, this range with it.` });
    const backfill = request.backfill ?? (await saveBackfill(session, { source: request.source, stream: request.stream, ...rawRange(cursor, request) }));
    if ((await countSlices(session, runId)).total === 0) {
      const range = await findBackfill(session, backfill);
      if (range === null || range.source !== request.source || range.stream !== request.stream) throw new TidemarkError('usage.invalid', `Stream ${request.stream} of ${request.source} has no backfill ${backfill}.`);
      const slices = cutRange(cursor, range, request.slice);
      const proof = request.onlyGaps ? await listProof(session, request.source, request.stream) : null;
      const proven = proof === null ? [] : provenSlices(cursor, slices, proof.built, proof.ranges);
      await saveSlices(session, backfill, runId, slices.map(({ from, to }, n) => ({ from, to, proven: proven[n] ?? false })));
    }
    return { backfill, open: await listOpenSlices(session, runId, SLICES_LISTED), slices: await countSlices(session, runId) };
  });
}

function rawRange(cursor: Column, { from, to }: BackfillRequest): RangeText {
  if (from === null || to === null) throw new TidemarkError('usage.invalid', 'A backfill needs its range: from and to.', { hint: 'For example {"source":"hq","stream":"bank.account","from":"2026-01-01","to":"2026-02-01"}.' });
  if (cursor.order !== 'time') throw new TidemarkError('usage.invalid', `The cursor ${cursor.name} is no time, and its values do not go through Temporal.`, { hint: 'Start it with tidemark backfill, which writes the range into the destination.' });
  return parseRange(cursor, { from, to });
}

export interface BackfillEnd {
  /** Slices to be read again, since a full refresh has replaced the generation that they went into. */
  readonly reopened: number;
  readonly slices: SliceCounts;
  readonly counts: StreamCounts;
}

/** Looks whether every slice is in the generation that readers see, and clears away what the run left: `over` when no slice of it is to be read any more. */
export async function closeBackfill(engine: Engine, step: { readonly source: string; readonly stream: string; readonly runId: string; readonly over: boolean; readonly cancelled?: boolean }): Promise<BackfillEnd> {
  return engine.destination.transaction('closing a backfill', async (session) => {
    const reopened = step.over ? 0 : await reopenLostSlices(session, step.runId);
    if (step.over || reopened === 0) {
      const { rows } = await session.query<{ slice: string }>("select distinct split_part(step, '.', 2) as slice from tidemark.batch where run_id = $1 and state <> 'loaded'", [step.runId]);
      for (const { slice } of rows) await dropStage(session, stageName(step.source, step.stream, `slice_${slice}`));
      await forgetBatches(session, step.runId);
      await endBackfill(session, step.runId, step.cancelled === true ? 'cancelled' : step.over ? 'failed' : 'completed');
    }
    return { reopened, slices: await countSlices(session, step.runId), counts: await sumRun(session, step.runId, step.stream) };
  });
}
