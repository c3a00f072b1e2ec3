import type { Guarantee, Position } from '../../schemas/position.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { newToken, type Destination } from './destination.ts';
import type { Session } from './session.ts';

/** What identifies a batch to the workflow that drives it: the same step of the same run is the same batch, however often it is tried. */
export interface BatchStep {
  readonly source: string;
  readonly stream: string;
  readonly runId: string;
  readonly step: string;
  readonly generation: number;
}

/** What an extract left in the stage, recorded in the transaction that filled it. */
export interface Staged {
  readonly read: number;
  readonly bytes: number;
  readonly hash: string;
  /** Rows of the stage may be marked as rejected. */
  readonly marked: boolean;
  readonly to: Position | null;
  readonly from: string | null;
  readonly more: boolean;
  readonly guarantee: Guarantee;
  readonly futureRows: number;
  readonly asOf: string | null;
}

export interface OpenBatch {
  readonly batch: number;
  readonly token: string;
  readonly state: 'open' | 'staged' | 'loaded';
  readonly lenient: boolean;
  readonly staged: Staged | null;
}

/**
 * Opens the batch of a step, or finds it where an earlier attempt opened it, and takes it over: the earlier attempt's session
 * at the destination is ended, so that nobody waits for its locks, and its token no longer commits.
 */
export async function openBatch(destination: Destination, step: BatchStep): Promise<OpenBatch> {
  const token = newToken();
  return destination.session('opening a batch', async (session) => {
    await endEarlierAttempt(session, step);
    const { rows } = await session.query<{ batch: string; state: OpenBatch['state']; lenient: boolean; staged: Staged | null }>(
      `insert into tidemark.batch (source, stream, run_id, step, generation, token) values ($1, $2, $3, $4, $5, $6)
       on conflict (source, stream, run_id, step) do update set token = excluded.token
       returning batch, state, lenient, staged`,
      [step.source, step.stream, step.runId, step.step, step.generation, token],
    );
    const row = rows[0]!;
    await endEarlierAttempt(session, step);
    return { batch: Number(row.batch), token, state: row.state, lenient: row.lenient, staged: row.staged };
  });
}

/** Finds a batch for its transform or load and takes it over like {@link openBatch}. */
export async function takeBatch(destination: Destination, batch: number): Promise<OpenBatch & BatchStep> {
  const token = newToken();
  return destination.session('taking over a batch', async (session) => {
    await endAttemptsOn(session, batch);
    const { rows } = await session.query<{ source: string; stream: string; run_id: string; step: string; generation: number; state: OpenBatch['state']; lenient: boolean; staged: Staged | null }>(
      'update tidemark.batch set token = $2 where batch = $1 returning source, stream, run_id, step, generation, state, lenient, staged',
      [batch, token],
    );
    const row = rows[0];
    if (!row) throw new TidemarkError('batch.fenced', `Batch ${batch} is not open any more.`);
    await endAttemptsOn(session, batch);
    return { batch, token, state: row.state, lenient: row.lenient, staged: row.staged, source: row.source, stream: row.stream, runId: row.run_id, step: row.step, generation: row.generation };
  });
}

/**
 * Runs `work` in one transaction of a session that is named, before it begins, as the one that works on the batch: a later attempt
 * sees the name and can end the session. Fails with `batch.fenced` where a later attempt has already taken the batch.
 * The server's own errors come out as they are.
 */
export async function batchTransaction<T>(destination: Destination, batch: number, token: string, work: (session: Session) => Promise<T>): Promise<T> {
  return destination.rawSession(async (session) => {
    await holdBatch(session, batch, token);
    await session.query('begin');
    const result = await work(session);
    await session.query('commit');
    return result;
  });
}

async function holdBatch(session: Session, batch: number, token: string): Promise<void> {
  const { rowCount } = await session.query(
    `update tidemark.batch set backend = pg_backend_pid() || ' ' || (select backend_start from pg_stat_activity where pid = pg_backend_pid())
     where batch = $1 and token = $2`,
    [batch, token],
  );
  if (rowCount !== 1) throw fenced(batch);
}

/**
 * Fails with `batch.fenced` where the batch's run has ended. Called with the stage locked: the next run fills the same stage, and
 * begins only after this one's end, so an attempt that wakes up late can't touch what the next run has staged.
 */
export async function requireOpenRun(session: Session, runId: string, batch: number): Promise<void> {
  const { rows } = await session.query<{ ended: boolean }>('select exists (select from tidemark.run where run_id = $1 and ended_at is not null) as ended', [runId]);
  if (rows[0]!.ended) throw fenced(batch);
}

/** Marks the batch for the slow path: its stage is text and each row is tried by itself. */
export async function makeLenient(session: Session, batch: number, token: string): Promise<void> {
  const { rowCount } = await session.query("update tidemark.batch set lenient = true, state = 'open', staged = null where batch = $1 and token = $2", [batch, token]);
  if (rowCount !== 1) throw fenced(batch);
}

/** Records what was staged, in the transaction that staged it. */
export async function markStaged(session: Session, batch: number, token: string, baseVersion: number, staged: Staged): Promise<void> {
  const { rowCount } = await session.query(
    "update tidemark.batch set state = 'staged', staged = $3, base_version = $4, backend = null where batch = $1 and token = $2",
    [batch, token, JSON.stringify(staged), baseVersion],
  );
  if (rowCount !== 1) throw fenced(batch);
}

/** The stage is gone (an unlogged table after a crash of the server): the batch is to be extracted again. */
export async function reopenBatch(session: Session, batch: number, token: string): Promise<void> {
  await session.query("update tidemark.batch set state = 'open', staged = null where batch = $1 and token = $2", [batch, token]);
}

/** Removes what runs that have ended left in the list of open batches. */
export async function forgetBatches(session: Session, runId: string): Promise<void> {
  await session.query('delete from tidemark.batch where run_id = $1', [runId]);
}

export function fenced(batch: number): TidemarkError {
  return new TidemarkError('batch.fenced', `A later attempt has taken batch ${batch}; this one commits nothing.`);
}

/** Ends first and takes the token after, since the earlier attempt's transaction may hold the batch's row. */
async function endEarlierAttempt(session: Session, step: BatchStep): Promise<void> {
  const { rows } = await session.query<{ batch: string }>('select batch from tidemark.batch where source = $1 and stream = $2 and run_id = $3 and step = $4', [step.source, step.stream, step.runId, step.step]);
  if (rows[0]) await endAttemptsOn(session, Number(rows[0].batch));
}

async function endAttemptsOn(session: Session, batch: number): Promise<void> {
  await session.query(
    `select pg_terminate_backend(a.pid, 5000) from tidemark.batch b join pg_stat_activity a on b.backend = a.pid || ' ' || a.backend_start
     where b.batch = $1 and a.pid <> pg_backend_pid()`,
    [batch],
  );
}
