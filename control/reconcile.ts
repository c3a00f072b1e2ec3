import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { ApplicationFailure, WorkflowFailedError } from '../runtime/temporal-library.ts';
import type { ReconcileResult } from '../schemas/comparison.ts';
import { ERROR_CODES, TidemarkError, type ErrorInfo } from '../schemas/errors.ts';
import type { ReconcileInput } from '../schemas/reconcile-input.ts';
import { MAIN_QUEUE } from './schedules.ts';

export interface ReconcileCommand {
  readonly source: string;
  /** Null: all streams. */
  readonly stream: string | null;
  readonly repair: boolean;
  /** Aborting cancels the comparison and, at both ends, its statements. */
  readonly signal: AbortSignal;
}

export interface ReconcileOutcome {
  readonly ok: boolean;
  readonly runId: string;
  readonly streams: readonly ReconcileResult[];
}

/** Compares a source's streams with their targets and waits for the end. Throws what kept a stream from being compared. */
export async function reconcile(client: Client, command: ReconcileCommand): Promise<ReconcileOutcome> {
  const { source, stream, repair, signal } = command;
  const input: ReconcileInput = { source, streams: stream === null ? null : [stream], repair };
  const workflowId = `reconcile/${source}/${randomUUID().slice(0, 8)}`;
  const handle = await client.workflow.start('reconcileSource', { workflowId, taskQueue: MAIN_QUEUE, args: [input], staticSummary: `reconcile ${source}`.slice(0, 200) });
  const cancel = (): void => void handle.cancel().catch(() => undefined);
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    return (await handle.result()) as ReconcileOutcome;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const info = infoOf(error.cause);
    throw info === null ? new TidemarkError('run.failed', 'The comparison did not come to its end.', { hint: `Look at the workflow ${workflowId} in Temporal.`, cause: error }) : new TidemarkError(info.code, info.message, { hint: info.hint ?? undefined });
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

function infoOf(cause: unknown): ErrorInfo | null {
  const info: unknown = cause instanceof ApplicationFailure ? cause.details?.[0] : null;
  return typeof info === 'object' && info !== null && 'code' in info && typeof info.code === 'string' && info.code in ERROR_CODES ? (info as ErrorInfo) : null;
}
