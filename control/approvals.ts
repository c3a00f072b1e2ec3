/** Planned destructive steps: who decides them, and what follows at once. What was approved is carried out by the stream's next run. */
import { randomUUID } from 'node:crypto';
import { userInfo } from 'node:os';
import { askApproval, decideApproval, findOpen, listPending, type Approval } from '../destinations/postgres/approvals.ts';
import { isPaused, listStreams, readPlan, setParked } from '../destinations/postgres/catalog.ts';
import type { Destination, Session } from '../destinations/postgres/destination.ts';
import { dropBuilding } from '../destinations/postgres/generation.ts';
import { notApproved } from '../pipeline/deletes/delete-cap.ts';
import { streamWords } from '../schemas/command-words.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { requireNames } from './operate.ts';

export type { Approval } from '../destinations/postgres/approvals.ts';

export interface Decided {
  readonly approval: Approval;
  /** A run of the stream would carry it out now; false where it is done, rejected, or its stream is held by a person. */
  readonly runs: boolean;
  /** The command that lets a paused stream go on; null where it is not paused. */
  readonly held: string | null;
}

/**
 * Approves or rejects a step; the same decision a second time changes nothing. An approval un-parks the stream. A rejected build is dropped and
 * the target stays. Throws `usage.unknown_approval`, `usage.approval_closed`.
 */
export async function decideStep(destination: Destination, id: string, decision: 'approved' | 'rejected'): Promise<Decided> {
  if (/^c\d+$/i.test(id)) {
    throw new TidemarkError('usage.unknown_approval', `${id} is a change of a plan, not a step that waits for a decision.`, { hint: `Approve it with tidemark apply --approve ${id}.` });
  }
  return destination.transaction('deciding a planned step', async (session) => {
    const approval = await decideApproval(session, id, decision, userName());
    if (decision === 'rejected') await settleRejected(session, approval);
    else if (approval.state === 'approved') await setParked(session, approval.source, approval.stream, null);
    if (approval.state !== 'approved') return { approval, runs: false, held: null };
    const { source, stream } = approval;
    const known = (await listStreams(session, source)).find((each) => each.stream === stream);
    const paused = await isPaused(session, source, stream);
    return { approval, runs: known !== undefined && known.settings.enabled && !paused, held: paused ? `tidemark resume ${known?.paused === true ? streamWords(approval) : source}` : null };
  });
}

/** A stream that has a watermark goes on from it; one that is built anew in every run would only build the same again. */
async function settleRejected(session: Session, approval: Approval): Promise<void> {
  const { source, stream, action, facts, detail } = approval;
  if (action === 'delete') return settleRejectedDelete(session, approval);
  if (action !== 'swap') return;
  const { rows } = await session.query<{ building: boolean }>("select exists (select from tidemark.generation where source = $1 and stream = $2 and generation = $3 and state = 'building') as building", [source, stream, facts['generation']]);
  if (!rows[0]!.building) return;
  await dropBuilding(session, source, stream);
  const parked = (await listStreams(session, source)).find((each) => each.stream === stream)?.parked ?? null;
  if (parked === null) return;
  const plan = (await readPlan(session, source, stream)) as { readonly strategy?: string } | null;
  const error = plan?.strategy === 'rebuild'
    ? new TidemarkError('run.approval_rejected', `${detail} It was rejected and dropped; the target stays as it is.`, { hint: 'Correct the source; the next build is made then.' }).info()
    : null;
  await setParked(session, source, stream, error);
}

/** After a scan the stream goes on without it. What follows a batch of tombstones can't be loaded, so its stream stays parked and says that this was rejected. */
async function settleRejectedDelete(session: Session, approval: Approval): Promise<void> {
  const { source, stream, facts } = approval;
  const parked = (await listStreams(session, source)).find((each) => each.stream === stream)?.parked ?? null;
  if (parked?.code !== 'target.deletes_above_cap') return;
  await setParked(session, source, stream, facts['detect'] === 'scan' ? null : notApproved(approval).info());
}

/** Steps that wait, oldest first; of all sources where none is named. */
export async function listWaitingSteps(destination: Destination, source: string | null): Promise<Approval[]> {
  return destination.session('reading planned steps', (session) => listPending(session, source));
}

/**
 * Plans that a stream, or every enabled stream of a source, forgets how far it has come and is built anew. Changes nothing by itself: each plan
 * waits for its approval. Idempotent while it waits. Throws `usage.unknown_source`, `usage.unknown_stream`.
 */
export async function planReset(destination: Destination, source: string, stream: string | null): Promise<Approval[]> {
  await requireNames(destination, source, stream);
  return destination.transaction('planning a reset', async (session) => {
    const streams = (await listStreams(session, source)).filter((each) => (stream === null ? each.settings.enabled : each.stream === stream));
    const planned: Approval[] = [];
    for (const each of streams) planned.push(await planStreamReset(session, source, each.stream, each.target));
    return planned;
  });
}

interface ResetFacts {
  readonly generation: number | null;
  readonly watermark: string | null;
  readonly building: number | null;
}

async function planStreamReset(session: Session, source: string, stream: string, target: string): Promise<Approval> {
  const { rows } = await session.query<ResetFacts>(
    `select w.generation, w.display as watermark, (select g.generation from tidemark.generation g where g.source = $1 and g.stream = $2 and g.state = 'building') as building
     from (select) one left join tidemark.watermark w on w.source = $1 and w.stream = $2`,
    [source, stream],
  );
  const facts = rows[0]!;
  const open = await findOpen(session, { source, stream, action: 'reset' });
  if (open !== null && open.facts['generation'] === facts.generation) return open;
  // What was rejected once may be planned again, so each plan is one of its own.
  const fingerprint = `generation ${facts.generation ?? 'none'}: ${randomUUID()}`;
  return askApproval(session, { source, stream, action: 'reset', fingerprint, detail: resetDetail(target, facts), facts: { generation: facts.generation, building: facts.building, target }, runId: null });
}

function resetDetail(target: string, { generation, watermark, building }: ResetFacts): string {
  const forgotten = [
    generation === null ? 'it has no watermark yet' : `its watermark${watermark === null ? '' : ` (${watermark})`} is forgotten`,
    ...(building === null ? [] : ['the build that is under way is dropped']),
  ];
  return `${forgotten.join(', ')}; ${target} is not dropped: the next run builds it anew beside the old one and swaps.`;
}

/** Approves at once what a person has approved under another name, in the caller's transaction. */
export async function approveReset(session: Session, source: string, stream: string, target: string): Promise<void> {
  const asked = await planStreamReset(session, source, stream, target);
  if (asked.state === 'pending') await decideApproval(session, asked.id, 'approved', userName());
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return 'unknown';
  }
}
