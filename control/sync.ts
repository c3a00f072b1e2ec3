import { randomUUID } from 'node:crypto';
import type { Client, WorkflowHandle } from '@temporalio/client';
import type { Destination } from '../destinations/postgres/destination.ts';
import { findRun, listStreamResults } from '../destinations/postgres/runs.ts';
import { ApplicationFailure, WorkflowFailedError } from '../runtime/temporal-library.ts';
import { ERROR_CODES, TidemarkError, type ErrorCode, type ErrorInfo } from '../schemas/errors.ts';
import { isDone, type StreamResult } from '../schemas/run.ts';
import type { SyncInput } from '../schemas/sync-input.ts';
import { MAIN_QUEUE } from './schedules.ts';

export interface SyncCommand {
  readonly sources: readonly string[];
  /** Null: all streams. */
  readonly streams: readonly string[] | null;
  readonly full: boolean;
  /** Scans for deleted rows, whether one is due or not. Default: false. */
  readonly detectDeletes?: boolean;
}

/** A run that was started: which workflow to look at, and which run to read the results of. */
export interface StartedSync {
  readonly source: string;
  readonly runId: string;
  readonly workflowId: string;
}

/** Starts one run for each source. Each covers every row committed at the source before this call. */
export async function startSyncs(client: Client, command: SyncCommand): Promise<StartedSync[]> {
  return Promise.all(
    command.sources.map(async (source) => {
      const input: SyncInput = { source, streams: command.streams === null ? null : [...command.streams], full: command.full, ...(command.detectDeletes === true ? { detectDeletes: true } : {}) };
      const workflowId = `sync/${source}/${randomUUID().slice(0, 8)}`;
      const handle = await client.workflow.start('syncSource', { workflowId, taskQueue: MAIN_QUEUE, args: [input], staticSummary: `sync ${source}` });
      return { source, runId: handle.firstExecutionRunId, workflowId };
    }),
  );
}

/**
 * Waits for a run's end. Returns its streams' results as the destination has them; throws where the run could not even begin, and `run.incomplete`
 * where it was ended from outside and no stream of it says so.
 */
export async function finishSync(client: Client, destination: Destination, started: StartedSync): Promise<StreamResult[]> {
  const handle = client.workflow.getHandle(started.workflowId, started.runId);
  const runId = await endOf(handle, started.runId);
  const { results, run } = await destination.session('reading results', async (session) => ({ results: await listStreamResults(session, runId), run: await findRun(session, runId) }));
  // A stream that had not begun has no result: a run is done when it says so itself.
  if (run?.status !== 'completed' && results.every(isDone)) throw new TidemarkError('run.incomplete', `The run of ${started.source} was ended from outside before it was done.`, { hint: 'The next sync goes on from the watermark.' });
  return results.map((result) => (result.status === 'running' ? { ...result, status: 'skipped', error: CUT_OFF } : result));
}

/** The run is over and this stream's row of it still open: its workflow had no chance to write an end. */
const CUT_OFF: ErrorInfo = { code: 'batch.cancelled', message: 'The run was ended from outside before this stream was done.', hint: 'The next sync goes on from the watermark.' };

export async function cancelSync(client: Client, started: StartedSync): Promise<void> {
  await client.workflow.getHandle(started.workflowId, started.runId).cancel().catch(() => undefined);
}

async function endOf(handle: WorkflowHandle, runId: string): Promise<string> {
  try {
    const result: unknown = await handle.result();
    if (typeof result === 'object' && result !== null && 'sharedRunId' in result && typeof result.sharedRunId === 'string') return result.sharedRunId;
    return runId;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const info = failureInfo(error.cause);
    // Streams that did not complete are told one by one, from the results; anything else stopped the run as a whole.
    if (info === null || info.code === 'run.failed') return runId;
    throw new TidemarkError(info.code, info.message, { hint: info.hint ?? undefined });
  }
}

/** What a failed workflow says, as data; null where it is none of ours. */
export function failureInfo(cause: unknown): ErrorInfo | null {
  if (!(cause instanceof ApplicationFailure)) return null;
  const info = cause.details?.[0];
  if (typeof info === 'object' && info !== null && 'code' in info && typeof info.code === 'string' && info.code in ERROR_CODES) return info as ErrorInfo;
  const code = cause.type;
  return code && code in ERROR_CODES ? { code: code as ErrorCode, message: cause.message, hint: null } : null;
}
