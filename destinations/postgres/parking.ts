/** Streams that have stopped and wait for a person, and how they come back. */
import { streamWords } from '../../schemas/command-words.ts';
import { ERROR_CODES, type ErrorInfo } from '../../schemas/errors.ts';
import type { StreamStatus } from '../../schemas/run.ts';
import { emitEvent } from './events.ts';
import type { Session } from './session.ts';

export interface StreamOutcome {
  readonly runId: string;
  readonly source: string;
  readonly stream: string;
  readonly status: StreamStatus;
  readonly error: ErrorInfo | null;
}

/**
 * Parks a stream whose run ended so, and takes that back where it completed; tells both as events. In the transaction that closes the stream's
 * row of the run. A stream that is parked already for the same reason is not told again.
 */
export async function settleParking(session: Session, end: StreamOutcome): Promise<void> {
  const { source, stream, status, error } = end;
  if (error !== null && (status === 'parked' || status === 'history_lost')) return park(session, end, error);
  if (status !== 'completed') return;
  const { rows } = await session.query<{ resumes: boolean }>(
    `with before as (select resumes from tidemark.stream where source = $1 and stream = $2 for update)
     update tidemark.stream s set parked = null, resumes = false from before where s.source = $1 and s.stream = $2 and (s.parked is not null or before.resumes) returning before.resumes`,
    [source, stream],
  );
  if (rows[0]?.resumes === true) await emitEvent(session, { type: 'StreamResumed', source, stream, data: { runId: end.runId } });
}

async function park(session: Session, { runId, source, stream, status }: StreamOutcome, error: ErrorInfo): Promise<void> {
  const { rows } = await session.query<{ before: string | null }>(
    `with before as (select parked->>'code' as code from tidemark.stream where source = $1 and stream = $2 for update)
     update tidemark.stream s set parked = $3, resumes = true from before where s.source = $1 and s.stream = $2 returning before.code as before`,
    [source, stream, JSON.stringify(error)],
  );
  if (rows[0] === undefined || rows[0].before === error.code) return;
  const { code, message, hint } = error;
  const command = `tidemark ${status === 'history_lost' ? 'reset' : 'retry'} ${streamWords({ source, stream })}`;
  if (code === 'batch.bad_rows' || code === 'batch.rule_broken') await emitEvent(session, { type: 'BatchRejected', source, stream, data: { stopped: code, message } });
  await emitEvent(session, { type: 'StreamParked', source, stream, data: { runId, status, code, message, hint, command } });
}

/** What stops a source as a whole parks its streams only where a person has to change something; anything else is tried again by the next run. */
export function statusWithSource({ error, status }: { readonly error: ErrorInfo; readonly status: StreamStatus }): StreamStatus {
  return status === 'parked' && ERROR_CODES[error.code].retry !== 'permanent' ? 'skipped' : status;
}

/** The error of a skipped stream, with how old the data is that its target holds. */
export async function withLastGood(session: Session, source: string, stream: string, error: ErrorInfo): Promise<ErrorInfo> {
  if (error.code !== 'source.breaker_open') return error;
  const { rows } = await session.query<{ at: string | null; age: number }>(
    `select to_char(good at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at, greatest(0, round(extract(epoch from clock_timestamp() - good)))::float8 as age
     from (select greatest(w.as_of, s.checked_at) as good from tidemark.watermark w join tidemark.stream s using (source, stream) where w.source = $1 and w.stream = $2) found`,
    [source, stream],
  );
  const good = rows[0]?.at ? `The last good data is as of ${rows[0].at}, ${ageText(rows[0].age)} old.` : 'Nothing of it was read yet.';
  return { ...error, message: `${error.message} ${good}` };
}

function ageText(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}
