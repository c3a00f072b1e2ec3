/** Comparisons in the history of runs. A comparison only reads, so it does not take the source's turn; a repair asks for it like a sync. */
import type { ReconcileResult } from '../../schemas/comparison.ts';
import { emitEvent } from './events.ts';
import { isoUtc } from './runs.ts';
import type { Session } from './session.ts';

export interface ReconcileRun {
  readonly runId: string;
  readonly source: string;
  readonly streams: readonly string[] | null;
  /** Absent: a person. */
  readonly trigger?: 'manual' | 'schedule';
  readonly workflowId: string;
  readonly workflowRunId: string;
}

/** Writes down that a comparison goes on; a second call changes nothing. */
export async function beginReconcile(session: Session, run: ReconcileRun): Promise<void> {
  await session.query(
    `insert into tidemark.run (run_id, source, trigger, scope, workflow_id, workflow_run_id, status, started_at) values ($1, $2, $6, $3, $4, $5, 'comparing', clock_timestamp()) on conflict (run_id) do nothing`,
    [run.runId, run.source, JSON.stringify({ streams: run.streams, full: false, kind: 'reconcile' }), run.workflowId, run.workflowRunId, run.trigger ?? 'manual'],
  );
}

/** From comparing to waiting for the source's turn. */
export async function askForRepair(session: Session, runId: string): Promise<void> {
  await session.query("update tidemark.run set status = 'waiting', requested_at = clock_timestamp() where run_id = $1 and status = 'comparing'", [runId]);
}

/** Ends the run in the history; true for the call that did. */
export async function endReconcile(session: Session, runId: string, status: string): Promise<boolean> {
  const { rowCount } = await session.query('update tidemark.run set status = $2, ended_at = clock_timestamp() where run_id = $1 and ended_at is null', [runId, status]);
  return rowCount === 1;
}

/** Tells of each stream that a comparison found to differ, in the caller's transaction; a repair has been made by then. */
export async function emitDifferences(session: Session, runId: string, results: readonly ReconcileResult[]): Promise<void> {
  for (const result of results) {
    const { source, stream, target, sourceRows, targetRows, missing, extra, different, repaired, remaining, asOf } = result;
    if (missing + extra + different === 0) continue;
    await emitEvent(session, { type: 'DifferencesFound', source, stream, data: { runId, target, sourceRows, targetRows, missing, extra, different, repaired, remaining, asOf } });
  }
}

/** The latest comparison of a stream, in `status`. */
export interface LastReconcile {
  readonly runId: string;
  /** When it ended, ISO 8601, UTC. */
  readonly at: string;
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  /** Keys that differed when it ended. */
  readonly remaining: number;
}

/** A {@link LastReconcile} or NULL, as an SQL expression; `source` and `stream` are expressions. */
export function lastReconcileSql(source: string, stream: string): string {
  const counts = ['missing', 'extra', 'different', 'remaining'].map((name) => `'${name}', (r.result->>'${name}')::float8`).join(', ');
  return `(select json_build_object('runId', r.run_id, 'at', ${isoUtc('r.ended_at')}, ${counts}) from tidemark.reconciliation r where r.source = ${source} and r.stream = ${stream} order by r.ended_at desc limit 1)`;
}
