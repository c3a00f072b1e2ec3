/** Backfills in the history of runs. A backfill never takes the source's turn: it goes on beside its syncs. */
import type { Session } from './session.ts';

export interface BackfillRun {
  readonly runId: string;
  readonly source: string;
  readonly stream: string;
  readonly workflowId: string;
  readonly workflowRunId: string;
}

/** Writes down that a backfill goes on; a second call changes nothing. */
export async function beginBackfill(session: Session, run: BackfillRun): Promise<void> {
  await session.query(
    `insert into tidemark.run (run_id, source, trigger, scope, workflow_id, workflow_run_id, status, started_at) values ($1, $2, 'manual', $3, $4, $5, 'backfilling', clock_timestamp()) on conflict (run_id) do nothing`,
    [run.runId, run.source, JSON.stringify({ streams: [run.stream], full: false, kind: 'backfill' }), run.workflowId, run.workflowRunId],
  );
}

export async function endBackfill(session: Session, runId: string, status: 'completed' | 'failed' | 'cancelled'): Promise<void> {
  await session.query('update tidemark.run set status = $2, ended_at = clock_timestamp() where run_id = $1 and ended_at is null', [runId, status]);
}
