/** Comparisons in the history of runs. A comparison only reads, so it does not take the source's turn; a repair asks for it like a sync. */
import type { Session } from './session.ts';

export interface ReconcileRun {
  readonly runId: string;
  readonly source: string;
  readonly streams: readonly string[] | null;
  readonly workflowId: string;
  readonly workflowRunId: string;
}

/** Writes down that a comparison goes on; a second call changes nothing. */
export async function beginReconcile(session: Session, run: ReconcileRun): Promise<void> {
  await session.query(
    `insert into tidemark.run (run_id, source, trigger, scope, workflow_id, workflow_run_id, status, started_at) values ($1, $2, 'manual', $3, $4, $5, 'comparing', clock_timestamp()) on conflict (run_id) do nothing`,
    [run.runId, run.source, JSON.stringify({ streams: run.streams, full: false, kind: 'reconcile' }), run.workflowId, run.workflowRunId],
  );
}

/** From comparing to waiting for the source's turn. */
export async function askForRepair(session: Session, runId: string): Promise<void> {
  await session.query("update tidemark.run set status = 'waiting', requested_at = clock_timestamp() where run_id = $1 and status = 'comparing'", [runId]);
}

export async function endReconcile(session: Session, runId: string, status: string): Promise<void> {
  await session.query('update tidemark.run set status = $2, ended_at = clock_timestamp() where run_id = $1 and ended_at is null', [runId, status]);
}
