import { executeChild, isCancellation, ParentClosePolicy, proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { ReconcileActivities } from '../activities/reconcile-activities.ts';
import type { ReconcileResult } from '../schemas/comparison.ts';
import { BATCH, BOOKKEEPING } from './activity-options.ts';
import { errorOf, failureOf } from './outcome.ts';
import { markStatus, markWorkflow } from './search-attributes.ts';
import { syncSource } from './sync-source.ts';

/** Rows that move at the source between looks are looked at so often; what still moves then is reported as unsettled. */
const LOOKS_MAX = 3;

export interface ReconcileStreamInput {
  readonly runId: string;
  readonly source: string;
  readonly stream: string;
  /** Task queue of the source's activities. */
  readonly queue: string;
}

const bookkeeping = proxyActivities<ReconcileActivities>(BOOKKEEPING);

/**
 * Compares one stream with its target. The first look reads both sides once, beside live syncs. Where it finds differences and rows may have been
 * on their way, a sync brings those, and only the differing keys are looked at again.
 */
export async function reconcileStream(input: ReconcileStreamInput): Promise<ReconcileResult> {
  markWorkflow({ ...input, kind: 'reconcile' });
  try {
    const result = await compare(input);
    markStatus(result.remaining + result.unsettled === 0 ? 'equal' : 'differs');
    return result;
  } catch (failure) {
    markStatus(isCancellation(failure) ? 'cancelled' : 'failed');
    throw isCancellation(failure) ? failure : failureOf(errorOf(failure));
  }
}

async function compare(input: ReconcileStreamInput): Promise<ReconcileResult> {
  const { runId, source, stream } = input;
  const looks = proxyActivities<ReconcileActivities>({ ...BATCH, taskQueue: input.queue });
  const ref = { runId, source, stream };
  show(input, 'comparing');
  let { startedAt, mayBeOnTheirWay, ...result } = await looks.compareStream(ref);
  for (let round = 1; mayBeOnTheirWay && round <= LOOKS_MAX; round++) {
    show(input, `${result.remaining} rows differ; a sync brings what is on its way`);
    const notes = [...result.notes, ...(await syncFirst(input, round))];
    if (result.named) {
      const { open, ...counts } = await looks.settleDifferences(ref);
      const found = counts.missing + counts.extra + counts.different - open;
      result = { ...result, ...counts, unsettled: open, remaining: found, notes };
      mayBeOnTheirWay = open > 0;
    } else {
      ({ startedAt, mayBeOnTheirWay, ...result } = await looks.compareStream(ref));
      result = { ...result, notes: [...notes, ...(mayBeOnTheirWay ? ['rows went on changing while they were compared'] : [])] };
      break;
    }
  }
  await bookkeeping.saveReconcile({ runId, source, result, startedAt });
  return result;
}

/** A run of the stream like one that a person asks for. That it did not complete is a note: what differs then differs. */
async function syncFirst({ source, stream }: ReconcileStreamInput, round: number): Promise<string[]> {
  try {
    await executeChild(syncSource, {
      workflowId: `${workflowInfo().workflowId}/sync-${round}`,
      args: [{ source, streams: [stream] }],
      staticSummary: `sync ${source} ${stream}`.slice(0, 200),
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    });
    return [];
  } catch (failure) {
    if (isCancellation(failure)) throw failure;
    return [`the sync before the second look did not complete: ${errorOf(failure).code}`];
  }
}

function show({ source, stream }: ReconcileStreamInput, doing: string): void {
  setCurrentDetails(`**${source} ${stream}**: ${doing}`);
}
