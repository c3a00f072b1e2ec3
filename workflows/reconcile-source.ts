import { ApplicationFailure, CancellationScope, executeChild, isCancellation, ParentClosePolicy, proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { ReconcileActivities } from '../activities/reconcile-activities.ts';
import type { RunActivities } from '../activities/run-activities.ts';
import type { ReconcileOpen } from '../activities/messages.ts';
import { streamWords } from '../schemas/command-words.ts';
import type { ReconcileResult } from '../schemas/comparison.ts';
import { reconcileInputSchema, type ReconcileInput, type ReconcileRequest } from '../schemas/reconcile-input.ts';
import { BATCH, BOOKKEEPING, QUESTION, TURN } from './activity-options.ts';
import { inParallel } from './in-parallel.ts';
import { errorOf, failureOf } from './outcome.ts';
import { markStatus, markWorkflow } from './search-attributes.ts';
import { reconcileStream } from './reconcile-stream.ts';

/** Streams of one source that are compared side by side: each reads a whole table at both ends. */
const COMPARISONS_IN_FLIGHT = 2;
/** So many rows may be deleted by a repair whatever the cap says: a share of a small table is a handful. */
const DELETES_ALWAYS_MAX = 10;

const question = proxyActivities<ReconcileActivities>(QUESTION);
const bookkeeping = proxyActivities<ReconcileActivities>(BOOKKEEPING);
const turns = proxyActivities<RunActivities>(TURN);

export interface ReconcileSummary {
  readonly runId: string;
  readonly ok: boolean;
  readonly streams: readonly ReconcileResult[];
}

/**
 * Compares the streams of a source with their targets, and with `repair` copies again what differs. Comparing runs beside live syncs; a repair
 * takes the source's turn, so that no row that it reads can overwrite a newer one. A stream's error is its own: the others are compared, then
 * the run fails with it.
 */
export async function reconcileSource(input: ReconcileInput): Promise<ReconcileSummary> {
  const request = parseInput(input);
  const runId = workflowInfo().firstExecutionRunId;
  markWorkflow({ source: request.source, runId, kind: 'reconcile' });
  try {
    const streams = await reconcile(request, runId);
    const ok = streams.every((each) => each.remaining + each.unsettled === 0);
    markStatus(ok ? 'equal' : 'differs');
    setCurrentDetails(summaryTable(request.source, streams));
    return { runId, ok, streams };
  } catch (failure) {
    const cancelled = isCancellation(failure);
    await CancellationScope.nonCancellable(() => bookkeeping.endReconcile({ runId, source: request.source, status: cancelled ? 'cancelled' : 'failed' }));
    markStatus(cancelled ? 'cancelled' : 'failed');
    throw cancelled ? failure : failureOf(errorOf(failure));
  }
}

async function reconcile(request: ReconcileRequest, runId: string): Promise<readonly ReconcileResult[]> {
  const { source } = request;
  const { workflowId, runId: workflowRunId } = workflowInfo();
  const open = await question.openReconcile({ runId, source, streams: request.streams, trigger: request.trigger, workflowId, workflowRunId });
  const results: ReconcileResult[] = [];
  const failures: unknown[] = [];
  await inParallel(open.streams.map(({ stream }) => stream), COMPARISONS_IN_FLIGHT, async (stream) => {
    try {
      results.push(await compareOne(runId, source, stream, open.queue));
    } catch (failure) {
      if (isCancellation(failure)) throw failure;
      failures.push(failure);
    }
  });
  const differing = results.filter((result) => result.remaining > 0 && result.named);
  if (request.repair && differing.length > 0) await repair(request, runId, open, differing);
  if (failures.length > 0) throw failures[0];
  return bookkeeping.endReconcile({ runId, source, status: 'completed' });
}

async function compareOne(runId: string, source: string, stream: string, queue: string): Promise<ReconcileResult> {
  return executeChild(reconcileStream, {
    workflowId: `${workflowInfo().workflowId}/${stream}`,
    args: [{ runId, source, stream, queue }],
    staticSummary: `${source} ${stream}`.slice(0, 200),
    parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
  });
}

async function repair(request: ReconcileRequest, runId: string, open: ReconcileOpen, differing: readonly ReconcileResult[]): Promise<void> {
  const { source, streams } = request;
  const { workflowId, runId: workflowRunId } = workflowInfo();
  setCurrentDetails(`**${source}**: waiting for its turn to repair ${differing.length} streams`);
  await bookkeeping.askForRepair({ runId, source });
  while ((await turns.takeTurn({ runId, source, trigger: request.trigger, scope: { streams, full: false, kind: 'reconcile' }, workflowId, workflowRunId })).state !== 'active');
  for (const result of differing) {
    setCurrentDetails(`**${source}**: repairing ${result.stream}`);
    const cap = open.streams.find(({ stream }) => stream === result.stream)?.deleteCap ?? 0;
    await repairOne(runId, result, open.queue, cap);
  }
}

async function repairOne(runId: string, result: ReconcileResult, queue: string, deleteCap: number): Promise<void> {
  const { source, stream } = result;
  const batches = proxyActivities<ReconcileActivities>({ ...BATCH, taskQueue: queue });
  const mayDelete = result.sourceRows > 0 && result.extra <= Math.max(DELETES_ALWAYS_MAX, result.targetRows * deleteCap);
  let repaired = 0;
  for (let after = '0', step = 0; ; step++) {
    const done = await batches.repairKeys({ runId, source, stream, step: `repair.${step}`, after, mayDelete });
    repaired += done.repaired;
    if (done.last === null) break;
    after = done.last;
  }
  const notes = mayDelete ? result.notes : [...result.notes, `${result.extra} rows that the source does not have were left: more than delete_cap allows. To have them go: tidemark sync ${streamWords({ source, stream })} --full, then tidemark approve`];
  await bookkeeping.saveReconcile({ runId, source, result: { ...result, repaired, remaining: result.remaining - repaired, notes }, startedAt: null });
}

function summaryTable(source: string, streams: readonly ReconcileResult[]): string {
  const lines = streams.map((s) => `| ${[s.stream, s.sourceRows, s.targetRows, s.missing, s.extra, s.different, s.unsettled, s.repaired].join(' | ')} |`);
  return `**${source}**: compared\n\n| stream | source | target | missing | extra | different | unsettled | repaired |\n|---|---:|---:|---:|---:|---:|---:|---:|\n${lines.join('\n')}\n`;
}

function parseInput(input: ReconcileInput): ReconcileRequest {
  const parsed = reconcileInputSchema.safeParse(input ?? {});
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'input'}: ${issue.message}`).join('; ');
  throw ApplicationFailure.create({ type: 'usage.invalid', nonRetryable: true, message: `The input is not understood: ${problems}. The smallest input is {"source":"<id>"}.` });
}
