/** Destructive steps that wait for a person: planned once, decided once, used once. */
import { TidemarkError } from '../../schemas/errors.ts';
import { emitEvent } from './events.ts';
import type { Session } from './session.ts';

/**
 * - `delete`: a delete scan or a tombstone batch found more rows than `delete_cap` allows.
 * - `swap`: a finished generation has fewer rows than `delete_cap` allows.
 * - `reset`: a person asked for a stream to be built from nothing.
 */
export type ApprovalAction = 'delete' | 'swap' | 'reset';
export type ApprovalState = 'pending' | 'approved' | 'rejected' | 'done' | 'outdated';

export interface ApprovalRequest {
  readonly source: string;
  readonly stream: string;
  readonly action: ApprovalAction;
  /** What exactly is to be done, as a hash or ids: where it changes, an earlier approval does not hold. No row value, no key. */
  readonly fingerprint: string;
  /** One sentence for people: "4,000 of 4,500 rows of bot.account would be deleted". */
  readonly detail: string;
  /** Counts for scripts. */
  readonly facts: Readonly<Record<string, number | string | null>>;
  readonly runId: string | null;
}

export interface Approval extends ApprovalRequest {
  readonly id: string;
  readonly state: ApprovalState;
  readonly requestedAt: string;
  readonly decidedAt: string | null;
  readonly decidedBy: string | null;
}

const COLUMNS = `id::text, source, stream, action, fingerprint, detail, facts, state, run_id as "runId", to_char(requested_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "requestedAt",
  to_char(decided_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "decidedAt", decided_by as "decidedBy"`;

/**
 * Asks for a step. Idempotent for the same fingerprint: returns the open request, pending or approved, or the one that was rejected last. Another
 * fingerprint makes an open request outdated and opens a new one. Write it in a transaction that commits, not in the one that is refused.
 * Emits `ApprovalRequested` where it opens one.
 */
export async function askApproval(session: Session, request: ApprovalRequest): Promise<Approval> {
  const scope = [request.source, request.stream, request.action];
  await session.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`approval ${scope.join('/')}`]);
  await session.query("update tidemark.approval set state = 'outdated' where source = $1 and stream = $2 and action = $3 and fingerprint <> $4 and state in ('pending', 'approved')", [...scope, request.fingerprint]);
  const { rows: known } = await session.query<Approval>(
    `select ${COLUMNS} from tidemark.approval where source = $1 and stream = $2 and action = $3 and fingerprint = $4 and state in ('pending', 'approved', 'rejected') order by tidemark.approval.id desc limit 1`,
    [...scope, request.fingerprint],
  );
  if (known[0]) return known[0];
  const { rows } = await session.query<Approval>(
    `insert into tidemark.approval (source, stream, action, fingerprint, detail, facts, run_id) values ($1, $2, $3, $4, $5, $6, $7) returning ${COLUMNS}`,
    [...scope, request.fingerprint, request.detail, JSON.stringify(request.facts), request.runId],
  );
  const asked = rows[0]!;
  await emitEvent(session, { type: 'ApprovalRequested', source: asked.source, stream: asked.stream, data: { id: asked.id, action: asked.action, detail: asked.detail, facts: asked.facts } });
  return asked;
}

/** The open request of an action, pending or approved; null where there is none. There is never more than one. */
export async function findOpen(session: Session, step: Pick<ApprovalRequest, 'source' | 'stream' | 'action'>): Promise<Approval | null> {
  const { rows } = await session.query<Approval>(
    `select ${COLUMNS} from tidemark.approval where source = $1 and stream = $2 and action = $3 and state in ('pending', 'approved')`,
    [step.source, step.stream, step.action],
  );
  return rows[0] ?? null;
}

/** What an open request was about is there no more. */
export async function outdateOpen(session: Session, step: Pick<ApprovalRequest, 'source' | 'stream' | 'action'>): Promise<void> {
  await session.query("update tidemark.approval set state = 'outdated' where source = $1 and stream = $2 and action = $3 and state in ('pending', 'approved')", [step.source, step.stream, step.action]);
}

/** A build took the target's place: what was approved for that is done, and what still waits is about a target that is there no more. */
export async function closeAfterSwap(session: Session, source: string, stream: string): Promise<void> {
  await session.query(
    `update tidemark.approval set state = case state when 'approved' then 'done' else 'outdated' end, done_at = case state when 'approved' then clock_timestamp() end
     where source = $1 and stream = $2 and action in ('swap', 'reset') and state in ('pending', 'approved')`,
    [source, stream],
  );
}

export async function findApproval(session: Session, id: string): Promise<Approval | null> {
  const { rows } = await session.query<Approval>(`select ${COLUMNS} from tidemark.approval where tidemark.approval.id = $1`, [id]);
  return rows[0] ?? null;
}

/** The commands that decide a step, for hints. */
export function decisionHint(approval: Pick<Approval, 'id'>): string {
  return `Decide with tidemark approve ${approval.id} or tidemark reject ${approval.id}.`;
}

/** The approval that lets a step through, locked until the caller's transaction ends; null where nobody has approved exactly this. */
export async function findApproved(session: Session, step: Pick<ApprovalRequest, 'source' | 'stream' | 'action' | 'fingerprint'>): Promise<Approval | null> {
  const { rows } = await session.query<Approval>(
    `select ${COLUMNS} from tidemark.approval where source = $1 and stream = $2 and action = $3 and fingerprint = $4 and state = 'approved' for update`,
    [step.source, step.stream, step.action, step.fingerprint],
  );
  return rows[0] ?? null;
}

/** Uses an approval up, in the transaction of the step that it let through. */
export async function useApproval(session: Session, id: string): Promise<void> {
  await session.query("update tidemark.approval set state = 'done', done_at = clock_timestamp() where id = $1 and state = 'approved'", [id]);
}

/** Decides a pending step; the same decision a second time changes nothing. Throws `usage.unknown_approval` where there is none of this id, `usage.approval_closed` where it was decided otherwise or is over. */
export async function decideApproval(session: Session, id: string, decision: 'approved' | 'rejected', by: string): Promise<Approval> {
  const known = /^\d{1,18}$/.test(id) ? (await session.query<Approval>(`select ${COLUMNS} from tidemark.approval where tidemark.approval.id = $1 for update`, [id])).rows[0] : undefined;
  if (known === undefined) throw new TidemarkError('usage.unknown_approval', `There is no planned step ${id}.`, { hint: 'tidemark status names the steps that wait for a decision.' });
  if (known.state === decision || (known.state === 'done' && decision === 'approved')) return known;
  if (known.state !== 'pending') {
    throw new TidemarkError('usage.approval_closed', `Step ${id} is ${known.state} already.`, { hint: 'Run tidemark sync again: what is still to be decided is planned anew.' });
  }
  const { rows } = await session.query<Approval>(`update tidemark.approval set state = $2, decided_at = clock_timestamp(), decided_by = $3 where tidemark.approval.id = $1 returning ${COLUMNS}`, [id, decision, by]);
  return rows[0]!;
}

/** Steps that wait for a decision, oldest first; of all sources where none is named. */
export async function listPending(session: Session, source: string | null): Promise<Approval[]> {
  const { rows } = await session.query<Approval>(`select ${COLUMNS} from tidemark.approval where state = 'pending' and ($1::text is null or source = $1) order by tidemark.approval.id`, [source]);
  return rows;
}
