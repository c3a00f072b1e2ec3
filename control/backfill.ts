/** Starting, following and ending a backfill; what the command and other programs call. */
import type { Client } from '@temporalio/client';
import { readPlan } from '../destinations/postgres/catalog.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import { formatTableName } from '../destinations/postgres/identifiers.ts';
import { sumRun } from '../destinations/postgres/ledger.ts';
import { countSlices, saveBackfill, type SliceCounts } from '../destinations/postgres/slices.ts';
import { cutRange, parseRange } from '../pipeline/backfill-range.ts';
import { cursorColumn } from '../pipeline/backfill.ts';
import type { StreamPlan } from '../pipeline/stream-plan.ts';
import { WorkflowFailedError, WorkflowIdConflictPolicy } from '../runtime/temporal-library.ts';
import type { BackfillInput } from '../schemas/backfill-input.ts';
import { ERROR_CODES, TidemarkError, type ErrorInfo } from '../schemas/errors.ts';
import type { StreamResult } from '../schemas/run.ts';
import { requireStreamOf } from './history.ts';
import { MAIN_QUEUE } from './schedules.ts';
import { failureInfo } from './sync.ts';

export interface BackfillCommand {
  readonly source: string;
  readonly stream: string;
  /** First value of the cursor, inclusive: `2026-01-31`, `2026-01-31T08:00:00Z`, `1`. */
  readonly from: string;
  /** Exclusive. */
  readonly to: string;
  /** A duration for a time cursor (`1h`, `1d`), a number for a number cursor; null: a day, or 100,000. */
  readonly slice: string | null;
  /** Slices at once, 1 to 16. */
  readonly parallel: number;
  /** Leave out what the ledger proves. */
  readonly onlyGaps: boolean;
}

export interface StartedBackfill {
  readonly source: string;
  readonly stream: string;
  readonly runId: string;
  readonly workflowId: string;
}

/** One line of `backfill --json`. */
export interface BackfillResult extends StreamResult {
  readonly slices: SliceCounts;
}

export interface BackfillState {
  readonly slices: SliceCounts;
  readonly read: number;
  readonly written: number;
}

/**
 * Writes the range into the destination and starts its workflow; one that works on the same range is joined. Throws what is wrong with the range
 * (`usage.invalid`) or the stream (`usage.unknown_source`, `usage.unknown_stream`, `source.cursor_missing`, `run.not_applied`) before anything starts.
 */
export async function startBackfill(client: Client, destination: Destination, command: BackfillCommand): Promise<StartedBackfill> {
  const { source, stream, slice, parallel, onlyGaps } = command;
  const cursor = cursorColumn(await requirePlan(destination, source, stream));
  const range = parseRange(cursor, command);
  cutRange(cursor, range, slice);
  const backfill = await destination.session('writing down a backfill', (session) => saveBackfill(session, { source, stream, ...range }));
  const input: BackfillInput = { source, stream, backfill, slice, parallel, onlyGaps };
  const workflowId = `backfill/${source}/${stream}/${backfill}`;
  const handle = await client.workflow.start('backfillStream', {
    workflowId,
    taskQueue: MAIN_QUEUE,
    args: [input],
    staticSummary: `backfill ${source} ${stream}`.slice(0, 200),
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
  });
  return { source, stream, runId: handle.firstExecutionRunId, workflowId };
}

async function requirePlan(destination: Destination, source: string, stream: string): Promise<StreamPlan> {
  await requireStreamOf(destination, source, stream);
  const plan = await destination.session('reading a plan', (session) => readPlan(session, source, stream));
  if (plan !== null) return plan as StreamPlan;
  throw new TidemarkError('run.not_applied', `Stream ${stream} of ${source} has not been loaded yet.`, { hint: 'Run tidemark sync first: it loads the whole table.' });
}

/** How far a backfill is, from the destination: what is counted here is committed. */
export async function readBackfill(destination: Destination, started: StartedBackfill): Promise<BackfillState> {
  return destination.session('reading the progress', async (session) => {
    const { read, written } = await sumRun(session, started.runId, started.stream);
    return { slices: await countSlices(session, started.runId), read, written };
  });
}

/** Between batches; what is loaded stays. */
export async function cancelBackfill(client: Client, started: StartedBackfill): Promise<void> {
  await client.workflow.getHandle(started.workflowId, started.runId).cancel().catch(() => undefined);
}

/** Waits for a backfill's end and sums it up from the ledger. Throws where it could not even begin. */
export async function finishBackfill(client: Client, destination: Destination, started: StartedBackfill, began: number): Promise<BackfillResult> {
  const error = await errorAtEnd(client, started);
  const plan = await requirePlan(destination, started.source, started.stream);
  return destination.session('reading results', async (session) => {
    const slices = await countSlices(session, started.runId);
    if (error !== null && slices.total === 0) throw new TidemarkError(error.code, error.message, { hint: error.hint ?? undefined });
    const { rows } = await session.query<{ display: string | null }>('select display from tidemark.watermark where source = $1 and stream = $2', [started.source, started.stream]);
    const at = rows[0]?.display ?? null;
    return {
      source: started.source,
      stream: started.stream,
      target: formatTableName(plan.target),
      status: error === null ? 'completed' : ERROR_CODES[error.code].retry === 'unreachable' || error.code === 'batch.cancelled' ? 'skipped' : 'parked',
      mode: plan.mode,
      runId: started.runId,
      ...(await sumRun(session, started.runId, started.stream)),
      seconds: Math.round(performance.now() - began) / 1_000,
      watermark: { from: at, to: at },
      error,
      notes: [],
      slices,
    };
  });
}

const CANCELLED: ErrorInfo = { code: 'batch.cancelled', message: 'The backfill was cancelled.', hint: 'The same command with --only-gaps goes on with what is left.' };

async function errorAtEnd(client: Client, started: StartedBackfill): Promise<ErrorInfo | null> {
  try {
    await client.workflow.getHandle(started.workflowId, started.runId).result();
    return null;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    if (error.cause?.name === 'CancelledFailure') return CANCELLED;
    return failureInfo(error.cause) ?? { code: 'run.failed', message: 'The backfill was ended from outside.', hint: CANCELLED.hint };
  }
}
