import type { Guarantee, Position } from '../../schemas/position.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { newToken, type Destination } from './destination.ts';
import { isLockTimeout } from './errors.ts';
import { heldRun, RUN_IS_OPEN, runEnded } from './runs.ts';
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
  /** Upper bound of a slice, which has no position. */
  readonly toBound?: string;
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
 * at the destination is ended, so that nobody waits for its locks, and its token no longer commits. Fails with `batch.fenced` where the
 * batch's run has ended: nobody would put away what an attempt opens that begins so late.
 */
export async function openBatch(destination: Destination, step: BatchStep): Promise<OpenBatch> {
  const token = newToken();
  return destination.session('opening a batch', async (session) => {
    await endEarlierAttempt(session, step);
    const { rows } = await session.query<{ batch: string; state: OpenBatch['state']; lenient: boolean; staged: Staged | null }>(
      `with run as (${heldRun('$3')}) insert into tidemark.batch (source, stream, run_id, step, generation, token) select $1, $2, $3, $4, $5::integer, $6::uuid where ${RUN_IS_OPEN}
       on conflict (source, stream, run_id, step) do update set token = excluded.token
       returning batch, state, lenient, staged`,
      [step.source, step.stream, step.runId, step.step, step.generation, token],
    );
    const row = rows[0];
    if (!row) throw runEnded(step.runId);
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

/** Records a batch that was loaded without a stage, in the transaction of its rows. */
export async function markLoaded(session: Session, batch: number, token: string, staged: Staged): Promise<void> {
  const { rowCount } = await session.query("update tidemark.batch set state = 'loaded', staged = $3, backend = null where batch = $1 and token = $2", [batch, token, JSON.stringify(staged)]);
  if (rowCount !== 1) throw fenced(batch);
}

/** The stage is gone (an unlogged table after a crash of the server): the batch is to be extracted again. */
export async function reopenBatch(session: Session, batch: number, token: string): Promise<void> {
  await session.query("update tidemark.batch set state = 'open', staged = null where batch = $1 and token = $2", [batch, token]);
}

/** How long one attempt to lock waits before it looks whether it was cancelled. */
const LOCK_LOOK = '2s';

/**
 * Gives the batch the next id and opens its read at the source, both under one lock of the stream: batch ids then follow the order of the
 * source's snapshots, whoever reads the stream at the same time. A read that is made again gets an id of its own. `openRead` returns when
 * its snapshot is taken. Fails with `batch.fenced` where a later attempt has taken the batch.
 */
export async function readInOrder<R>(destination: Destination, step: Pick<BatchStep, 'source' | 'stream'>, open: OpenBatch, signal: AbortSignal, openRead: () => Promise<R>): Promise<{ readonly open: OpenBatch; readonly read: R }> {
  return destination.rawSession(async (session) => {
    const key = [step.source, step.stream];
    await lockReads(session, key, signal);
    const { rows } = await session.query<{ batch: string }>(
      `update tidemark.batch set batch = nextval('tidemark.batch_id'), opened_at = clock_timestamp(),
         backend = pg_backend_pid() || ' ' || (select backend_start from pg_stat_activity where pid = pg_backend_pid())
       where batch = $1 and token = $2 returning batch`,
      [open.batch, open.token],
    );
    if (!rows[0]) throw fenced(open.batch);
    const batch = Number(rows[0].batch);
    const read = await openRead();
    await session.query('update tidemark.batch set backend = null where batch = $1 and token = $2', [batch, open.token]);
    await session.query(`select pg_advisory_unlock(${READ_LOCK})`, key);
    return { open: { ...open, batch, state: 'open', staged: null }, read };
  });
}

const READ_LOCK = "hashtextextended('tidemark read ' || $1::text || E'\\n' || $2::text, 0)";

/** A session lock: it ends with the session where the process dies, and holds no transaction open while the source is asked. */
async function lockReads(session: Session, key: readonly string[], signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    await session.query('begin');
    try {
      await session.query(`set local lock_timeout = '${LOCK_LOOK}'`);
      await session.query(`select pg_advisory_lock(${READ_LOCK})`, [...key]);
      await session.query('commit');
      return;
    } catch (error) {
      if (!isLockTimeout(error)) throw error;
      await session.query('rollback');
    }
  }
}

/** True where a batch with a lower id is still on its way: its rows were read from an earlier snapshot and will be loaded after these. */
export async function hasEarlierOpen(session: Session, source: string, stream: string, batch: number): Promise<boolean> {
  const { rows } = await session.query<{ earlier: boolean }>(
    "select exists (select from tidemark.batch where source = $1 and stream = $2 and batch < $3 and state <> 'loaded' and opened_at > clock_timestamp() - interval '1 day') as earlier",
    [source, stream, batch],
  );
  return rows[0]!.earlier;
}

/** Removes what runs that have ended left in the list of open batches. */
export async function forgetBatches(session: Session, runId: string): Promise<void> {
  await session.query('delete from tidemark.batch where run_id = $1', [runId]);
}

export function fenced(batch: number): TidemarkError {
  return new TidemarkError('batch.fenced', `A later attempt has taken batch ${batch}; this one commits nothing.`);
}

/** What begins the name of a batch that is copied beside the one of a step. */
const BESIDE = '+';

/** Name of the `n`th batch that is copied beside that of `step`. */
export function sideStep(step: string, n: number): string {
  return `${step}${BESIDE}${n}`;
}

/** Removes what was opened beside the batch of `step` and did not commit. */
export async function forgetSideBatches(session: Session, { source, stream, runId, step }: BatchStep): Promise<void> {
  await session.query("delete from tidemark.batch where source = $1 and stream = $2 and run_id = $3 and starts_with(step, $4) and state <> 'loaded'", [source, stream, runId, `${step}${BESIDE}`]);
}

/**
 * Ends first and takes the token after, since the earlier attempt's transaction may hold the batch's row. While batches are copied
 * side by side no other step of their stream runs: what an earlier attempt still copies beside a step ends with it.
 */
async function endEarlierAttempt(session: Session, { source, stream, runId, step }: BatchStep): Promise<void> {
  const { rows } = await session.query<{ batch: string }>(
    'select batch from tidemark.batch where source = $1 and stream = $2 and run_id = $3 and (step = $4 or ($5 and backend is not null and strpos(step, $6) > 0))',
    [source, stream, runId, step, !step.includes(BESIDE), BESIDE],
  );
  for (const { batch } of rows) await endAttemptsOn(session, Number(batch));
}

async function endAttemptsOn(session: Session, batch: number): Promise<void> {
  await session.query(
    `select pg_terminate_backend(a.pid, 5000) from tidemark.batch b join pg_stat_activity a on b.backend = a.pid || ' ' || a.backend_start
     where b.batch = $1 and a.pid <> pg_backend_pid()`,
    [batch],
  );
}
