import { ApplicationFailure, CancellationScope, continueAsNew, defineQuery, isCancellation, proxyActivities, setCurrentDetails, setHandler, sleep, workflowInfo } from '@temporalio/workflow';
import type { BackfillActivities } from '../activities/backfill-activities.ts';
import { backfillInputSchema, type BackfillInput, type BackfillRequest } from '../schemas/backfill-input.ts';
import type { ErrorInfo } from '../schemas/errors.ts';
import type { StreamCounts } from '../schemas/run.ts';
import { bulkQueue } from '../schemas/task-queue.ts';
import { BACKFILL_PRIORITY, BATCH, BATCH_RESTARTS_MAX, BOOKKEEPING, HOLD_LOOK, QUESTION } from './activity-options.ts';
import { inParallel } from './in-parallel.ts';
import { errorOf, failureOf, wantsWholeBatch } from './outcome.ts';
import { markStatus, markWorkflow } from './search-attributes.ts';

/** How often slices are read again because a full refresh replaced the target under them. */
const ROUNDS_MAX = 5;

export interface BackfillProgress {
  readonly state: 'planning' | 'running' | 'paused' | 'ended';
  readonly total: number;
  readonly done: number;
  readonly read: number;
}

export interface BackfillSummary {
  readonly runId: string;
  readonly backfill: number;
  readonly slices: { readonly total: number; readonly done: number; readonly proven: number };
  readonly counts: StreamCounts;
}

export const backfillProgressQuery = defineQuery<BackfillProgress>('progress');

/**
 * Reads a range of cursor values again, slice by slice, below the priority of live syncs. The stream's or its source's pause holds it between
 * slices; a cancel leaves what is done done. A slice that fails for good stops the others; the same range is gone on with by `onlyGaps`.
 */
export async function backfillStream(input: BackfillInput): Promise<BackfillSummary> {
  const request = parseInput(input);
  const run = new Backfill(request);
  markWorkflow({ source: request.source, stream: request.stream, runId: run.runId, kind: 'backfill' });
  try {
    const summary = await run.run();
    markStatus('completed');
    return summary;
  } catch (failure) {
    if (!isCancellation(failure) && !(failure instanceof ApplicationFailure) && !isFailureOfStep(failure)) throw failure;
    const cancelled = isCancellation(failure);
    await CancellationScope.nonCancellable(() => run.clear(cancelled));
    markStatus(cancelled ? 'cancelled' : 'failed');
    throw cancelled ? failure : failureOf(errorOf(failure));
  }
}

/** Continuing as a new execution is thrown too, and is no failure. */
function isFailureOfStep(failure: unknown): boolean {
  return failure instanceof Error && failure.name === 'ActivityFailure';
}

class Backfill {
  readonly runId = workflowInfo().firstExecutionRunId;
  readonly #request: BackfillRequest;
  #progress: BackfillProgress = { state: 'planning', total: 0, done: 0, read: 0 };

  constructor(request: BackfillRequest) {
    this.#request = request;
    setHandler(backfillProgressQuery, () => this.#progress);
    this.#show({});
  }

  async run(): Promise<BackfillSummary> {
    const question = proxyActivities<BackfillActivities>(QUESTION);
    for (let round = 0; ; ) {
      const plan = await question.planBackfill({ runId: this.runId, input: this.#request });
      this.#show({ state: 'running', total: plan.slices.total, done: plan.slices.done + plan.slices.proven });
      if (plan.open.length > 0) {
        await inParallel(plan.open, this.#request.parallel, (slice) => this.#slice(slice, plan.queue));
        if (workflowInfo().continueAsNewSuggested) await this.#nextChapter();
        continue;
      }
      const end = await this.#close(false);
      if (end.reopened === 0) {
        this.#show({ state: 'ended', read: end.counts.read });
        return { runId: this.runId, backfill: plan.backfill, slices: end.slices, counts: end.counts };
      }
      if (++round === ROUNDS_MAX) throw failureOf(REPLACED);
    }
  }

  /** After a failure or a cancel: what is open stays open, and nothing of it is left in the destination. */
  async clear(cancelled: boolean): Promise<void> {
    await this.#close(true, cancelled);
  }

  async #slice(slice: number, queue: string): Promise<void> {
    const place = { taskQueue: bulkQueue(queue), priority: { priorityKey: BACKFILL_PRIORITY } };
    if (workflowInfo().continueAsNewSuggested) return;
    const { backfillSlice } = proxyActivities<BackfillActivities>({ ...BATCH, ...place });
    for (let restarts = 0; ; ) {
      try {
        const outcome = await backfillSlice.executeWithOptions({ ...BATCH, ...place, summary: `slice ${slice}` }, [{ slice }]);
        if (!outcome.held) return this.#show({ state: 'running', done: this.#progress.done + 1, read: this.#progress.read + outcome.read });
        this.#show({ state: 'paused' });
        await sleep(HOLD_LOOK);
        if (workflowInfo().continueAsNewSuggested) return;
      } catch (failure) {
        if (!wantsWholeBatch(failure) || restarts++ === BATCH_RESTARTS_MAX) throw failure;
      }
    }
  }

  async #close(over: boolean, cancelled = false) {
    const { source, stream } = this.#request;
    return proxyActivities<BackfillActivities>(BOOKKEEPING).closeBackfill({ runId: this.runId, source, stream, over, cancelled });
  }

  /** A long backfill goes on in a new execution; which slices are done is in the destination. */
  async #nextChapter(): Promise<void> {
    await continueAsNew<typeof backfillStream>({ ...this.#request, chapter: this.#request.chapter + 1 });
  }

  #show(change: Partial<BackfillProgress>): void {
    if (change.state !== undefined && change.state !== this.#progress.state && change.state !== 'ended') markStatus(change.state);
    this.#progress = { ...this.#progress, ...change };
    const { state, total, done, read } = this.#progress;
    setCurrentDetails(`**${this.#request.stream}**: backfill ${state}\n\n| slices | done | read |\n|---:|---:|---:|\n| ${total} | ${done} | ${read} |\n`);
  }
}

const REPLACED: ErrorInfo = { code: 'run.incomplete', message: 'The target was built anew again and again while slices were loaded into it.', hint: 'Run the backfill again when no full refresh is under way.' };

function parseInput(input: BackfillInput): BackfillRequest {
  const parsed = backfillInputSchema.safeParse(input ?? {});
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'input'}: ${issue.message}`).join('; ');
  throw ApplicationFailure.create({ type: 'usage.invalid', nonRetryable: true, message: `The input is not understood: ${problems}. For example {"source":"hq","stream":"bank.account","from":"2026-01-01","to":"2026-02-01","slice":"1d"}.` });
}
