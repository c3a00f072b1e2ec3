import { TidemarkError, type ErrorInfo } from '../../schemas/errors.ts';
import type { RunScope, StreamResult, StreamStatus, Trigger } from '../../schemas/run.ts';
import type { Session } from './session.ts';

export interface RunRow {
  readonly runId: string;
  readonly source: string;
  readonly trigger: Trigger;
  readonly scope: RunScope;
  readonly workflowId: string;
  readonly workflowRunId: string;
  readonly status: string;
  readonly requestedAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}

const RUN = `run_id as "runId", source, trigger, scope, workflow_id as "workflowId", workflow_run_id as "workflowRunId", status,
  ${isoUtc('requested_at')} as "requestedAt", ${isoUtc('started_at')} as "startedAt", ${isoUtc('ended_at')} as "endedAt"`;

/** SQL for a timestamptz as ISO 8601 in UTC with microseconds. */
export function isoUtc(column: string): string {
  return `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

/** Writes down that a run was asked for; a second call for the same run changes nothing. */
export async function requestRun(session: Session, run: Pick<RunRow, 'runId' | 'source' | 'trigger' | 'scope' | 'workflowId' | 'workflowRunId'>): Promise<void> {
  await session.query(
    `insert into tidemark.run (run_id, source, trigger, scope, workflow_id, workflow_run_id, status) values ($1, $2, $3, $4, $5, $6, 'waiting') on conflict (run_id) do nothing`,
    [run.runId, run.source, run.trigger, JSON.stringify(run.scope), run.workflowId, run.workflowRunId],
  );
}

/** Makes the run the source's active one, if there is no other and none waits longer. Returns whether it is active now. */
export async function activateRun(session: Session, runId: string, source: string): Promise<boolean> {
  const { rowCount } = await session.query(
    `update tidemark.run r set status = 'running', started_at = coalesce(started_at, clock_timestamp()) where run_id = $1 and status in ('waiting', 'running')
       and not exists (select from tidemark.run o where o.source = $2 and o.status = 'running' and o.run_id <> $1)
       and (r.status = 'running' or r.trigger = 'manual' or not exists (select from tidemark.run o where o.source = $2 and o.status = 'waiting' and o.trigger = 'manual' and o.run_id <> $1))`,
    [runId, source],
  );
  return (rowCount ?? 0) > 0;
}

/** Puts an active run back to waiting, so that one that a person asked for goes first. */
export async function yieldRun(session: Session, runId: string): Promise<void> {
  await session.query("update tidemark.run set status = 'waiting' where run_id = $1 and status = 'running'", [runId]);
}

export async function findActiveRun(session: Session, source: string): Promise<RunRow | null> {
  const { rows } = await session.query<RunRow>(`select ${RUN} from tidemark.run where source = $1 and status = 'running'`, [source]);
  return rows[0] ?? null;
}

/** Notes that the streams were found complete just now. Returns whether a run that a person asked for waits for the source's turn. */
export async function notePoll(session: Session, source: string, complete: readonly string[]): Promise<boolean> {
  const { rows } = await session.query<{ asked: boolean }>(
    `with checked as (update tidemark.stream set checked_at = clock_timestamp() where source = $1 and stream = any($2))
     select exists (select from tidemark.run where source = $1 and status = 'waiting' and trigger = 'manual') as asked`,
    [source, complete],
  );
  return rows[0]!.asked;
}

/** Runs of a source that wait for the active one to end. */
export async function listWaitingRuns(session: Session, source: string): Promise<RunRow[]> {
  const { rows } = await session.query<RunRow>(`select ${RUN} from tidemark.run where source = $1 and status = 'waiting' order by requested_at`, [source]);
  return rows;
}

/** Comparisons and backfills that have not ended. */
export async function listBesideSyncs(session: Session): Promise<RunRow[]> {
  const { rows } = await session.query<RunRow>(`select ${RUN} from tidemark.run where ended_at is null and scope->>'kind' in ('reconcile', 'backfill')`);
  return rows;
}

export async function findRun(session: Session, runId: string): Promise<RunRow | null> {
  const { rows } = await session.query<RunRow>(`select ${RUN} from tidemark.run where run_id = $1`, [runId]);
  return rows[0] ?? null;
}

/** Ends a run, once. Streams of it that are still marked running take the run's end with them. */
export async function endRun(session: Session, runId: string, status: string, polls: number): Promise<void> {
  await session.query('update tidemark.run set status = $2, polls = $3, ended_at = clock_timestamp() where run_id = $1 and ended_at is null', [runId, status, polls]);
  await session.query("update tidemark.run_stream set status = 'skipped', ended_at = clock_timestamp() where run_id = $1 and status = 'running'", [runId]);
}

/** SQL of the CTE `run` for {@link RUN_IS_OPEN}: holds the run until the statement's transaction ends, and waits for one that is just ending it. */
export function heldRun(parameter: string): string {
  return `select ended_at from tidemark.run where run_id = ${parameter} for share`;
}

export const RUN_IS_OPEN = 'not exists (select from run where ended_at is not null)';

/** Says that a step came too late, as where a worker slept through the rest of its run. */
export function runEnded(runId: string): TidemarkError {
  return new TidemarkError('batch.fenced', `Run ${runId} has ended; a step of it that begins later changes nothing.`);
}

/** Whether the run has not ended; as the first statement of a transaction, it does not end before that. */
export async function holdRun(session: Session, runId: string): Promise<boolean> {
  const { rows } = await session.query<{ open: boolean }>(`with run as (${heldRun('$1')}) select ${RUN_IS_OPEN} as open`, [runId]);
  return rows[0]!.open;
}

/** Opens a stream's row in a run, or goes on with it: a window adds its polls up in one row. Fails with `batch.fenced` where the run has ended. */
export async function beginStream(session: Session, runId: string, source: string, stream: string, target: string, mode: string): Promise<void> {
  const { rowCount } = await session.query(
    `with run as (${heldRun('$1')}) insert into tidemark.run_stream (run_id, source, stream, target, mode, status, watermark_from)
     select $1, $2, $3, $4, $5, 'running', (select display from tidemark.watermark where source = $2 and stream = $3) where ${RUN_IS_OPEN}
     on conflict (run_id, stream) do update set status = 'running', mode = excluded.mode, ended_at = null`,
    [runId, source, stream, target, mode],
  );
  if (rowCount === 0) throw runEnded(runId);
}

/** A stream whose first step no worker finished has no row in its run yet, and is not to be missing from its results. */
export async function ensureStream(session: Session, runId: string, source: string, stream: string): Promise<void> {
  await session.query(
    `insert into tidemark.run_stream (run_id, source, stream, target, mode, status, watermark_from)
     select $1, s.source, s.stream, s.target, s.settings->>'mode', 'running', w.display from tidemark.stream s left join tidemark.watermark w on w.source = s.source and w.stream = s.stream
     where s.source = $2 and s.stream = $3 and exists (select from tidemark.run where run_id = $1) on conflict (run_id, stream) do nothing`,
    [runId, source, stream],
  );
}

/** Writes down the target's name as the source's table gives it, which `apply` may not have known. */
export async function nameTarget(session: Session, runId: string, source: string, stream: string, target: string): Promise<void> {
  await session.query('update tidemark.run_stream set target = $3 where run_id = $1 and stream = $2', [runId, stream, target]);
  await session.query('update tidemark.stream set target = $3 where source = $1 and stream = $2 and target <> $3', [source, stream, target]);
}

export interface StreamEnd {
  readonly runId: string;
  readonly source: string;
  readonly stream: string;
  readonly status: StreamStatus;
  readonly error: ErrorInfo | null;
  readonly notes: readonly string[];
}

/** Closes a stream's row with the sums of the run's ledger rows, so that what is shown is what was committed. */
export async function endStream(session: Session, end: StreamEnd): Promise<void> {
  await session.query(
    `update tidemark.run_stream s set status = $4, error = $5, notes = $6, ended_at = clock_timestamp(),
       batches = l.batches, read = l.read, written = l.written, unchanged = l.unchanged, rejected = l.rejected, superseded = l.superseded, deleted = l.deleted, bytes = l.bytes,
       seconds = seconds + extract(epoch from clock_timestamp() - coalesce(ended_at, started_at)),
       watermark_to = (select display from tidemark.watermark w where w.source = $2 and w.stream = $3)
     from (select count(*) as batches, coalesce(sum(read), 0) as read, coalesce(sum(written), 0) as written, coalesce(sum(unchanged), 0) as unchanged, coalesce(sum(rejected), 0) as rejected,
       coalesce(sum(superseded), 0) as superseded, coalesce(sum(deleted), 0) as deleted, coalesce(sum(bytes), 0) as bytes from tidemark.ledger where run_id = $1 and stream = $3) l
     where s.run_id = $1 and s.stream = $3`,
    [end.runId, end.source, end.stream, end.status, end.error === null ? null : JSON.stringify(end.error), JSON.stringify(end.notes)],
  );
}

/** The streams of a run, as `sync --json` prints them. */
export async function listStreamResults(session: Session, runId: string): Promise<StreamResult[]> {
  const { rows } = await session.query<StreamResult>(
    `select r.source, r.stream, r.target, r.status, r.mode, run_id as "runId", batches::int, read::float8, written::float8, unchanged::float8, rejected::float8, superseded::float8, deleted::float8, bytes::float8,
       round(r.seconds::numeric, 3)::float8 as seconds, json_build_object('from', watermark_from, 'to', watermark_to) as watermark, error, notes
     from tidemark.run_stream r left join tidemark.stream s on s.source = r.source and s.stream = r.stream where run_id = $1 order by s.ordinal, r.stream`,
    [runId],
  );
  return rows;
}
