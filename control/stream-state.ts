/** How a stream stands, decided from what the destination keeps of it. Pure. */
import { shellWord, streamWords } from '../schemas/command-words.ts';
import { ERROR_CODES, type ErrorCode, type ErrorInfo } from '../schemas/errors.ts';
import type { StreamStatus } from '../schemas/run.ts';

/** The last run of a stream. Times are seconds since the epoch by the destination's clock. */
export interface LastRun {
  readonly runId: string;
  readonly status: StreamStatus;
  readonly error: ErrorInfo | null;
  readonly batches: number;
  readonly startedAt: number;
  /** Null while it runs. */
  readonly endedAt: number | null;
}

/** What is known of a stream. Times are seconds since the epoch by the destination's clock, `asOf` by the source's. */
export interface StreamFacts {
  readonly source: string;
  readonly stream: string;
  readonly enabled: boolean;
  readonly sourcePaused: boolean;
  readonly streamPaused: boolean;
  /** Polled by itself: the source has a schedule. */
  readonly scheduled: boolean;
  readonly parked: ErrorInfo | null;
  /** When it was last found complete. */
  readonly checkedAt: number | null;
  /** The snapshot of the watermark's last batch; null before the first sync. */
  readonly asOf: number | null;
  readonly hasWatermark: boolean;
  readonly last: LastRun | null;
  readonly futureRows: number;
  readonly quarantined: number;
  /** Warnings of its plan. */
  readonly notes: readonly string[];
  /** Planned steps that wait for a decision. */
  readonly waiting?: readonly { readonly id: string; readonly action: string }[];
}

export interface StreamState {
  readonly status: StreamStatus;
  /** Why it is not well, its hint closed by the next command; null where it is, or where a person wanted it so. */
  readonly error: ErrorInfo | null;
  /** The command that goes on from here; null where nothing is to be done. */
  readonly next: string | null;
}

export function stateOf(facts: StreamFacts): StreamState {
  if (!facts.enabled) return { status: 'disabled', error: null, next: null };
  if (facts.sourcePaused || facts.streamPaused) {
    return { status: 'paused', error: facts.parked, next: facts.sourcePaused ? `tidemark resume ${shellWord(facts.source)}` : `tidemark resume ${streamWords(facts)}` };
  }
  if (facts.last?.status === 'running') return { status: 'running', error: null, next: null };
  const held = heldError(facts);
  if (held !== null) return heldState(facts, held);
  if (isComplete(facts)) return { status: 'completed', error: null, next: null };
  return incomplete(facts);
}

/** Errors that end with a decision, by the planned step that is to be decided. */
const DECIDED_BY: Partial<Record<ErrorCode, string>> = { 'target.shrinks': 'swap', 'target.deletes_above_cap': 'delete', 'source.history_lost': 'reset' };

const retryCommand = (words: string): string => `tidemark retry ${words}`;

/** Where trying again changes nothing: what does. */
const NEXT: Partial<Record<ErrorCode, (words: string) => string>> = {
  'source.history_lost': (words) => `tidemark reset ${words}`,
  'source.schema_changed': (words) => `tidemark sync ${words} --full`,
  'run.schema_frozen': () => 'tidemark plan, then tidemark apply',
};

function heldState(facts: StreamFacts, held: ErrorInfo): StreamState {
  const lost = held.code === 'source.history_lost';
  const status = lost ? 'history_lost' : 'parked';
  const action = DECIDED_BY[held.code];
  const step = facts.waiting?.find((each) => each.action === action);
  if (step !== undefined) return { ...unwell(status, held, `tidemark approve ${step.id}, or tidemark reject ${step.id}`), next: `tidemark approve ${step.id}` };
  if (action !== undefined && !lost && facts.parked === null) {
    return unwell('skipped', { code: 'run.incomplete', message: 'Its last run stopped for a decision, which has been made.', hint: 'The next run carries it out.' }, `tidemark sync ${streamWords(facts)}`);
  }
  return unwell(status, held, (NEXT[held.code] ?? retryCommand)(streamWords(facts)));
}

/** What a stream waits for a person with: parked in the catalog, or stopped together with its source in its last run. */
function heldError(facts: StreamFacts): ErrorInfo | null {
  if (facts.parked !== null) return facts.parked;
  const last = facts.last;
  const stopped = last !== null && (last.status === 'parked' || last.status === 'history_lost') && !checkedSince(facts);
  return stopped ? last.error : null;
}

/** Polls within a window that find nothing leave the run's rows alone and only note the time. */
function checkedSince(facts: LagFacts): boolean {
  return facts.checkedAt !== null && facts.last !== null && facts.last.endedAt !== null && facts.checkedAt > facts.last.endedAt;
}

function isComplete(facts: StreamFacts): boolean {
  return facts.last?.status === 'completed' || checkedSince(facts);
}

function incomplete(facts: StreamFacts): StreamState {
  const { last } = facts;
  const command = `tidemark sync ${streamWords(facts)}`;
  if (last === null) {
    return unwell('skipped', { code: 'run.incomplete', message: 'It has not been synced yet.', hint: facts.scheduled ? 'Its schedule starts the first sync.' : null }, command);
  }
  const error = last.error ?? { code: 'run.incomplete', message: last.status === 'paused' ? 'It was paused before it was complete.' : 'Its last run ended before it was complete.', hint: 'The next run goes on from the watermark.' };
  if (error.code === 'source.outside_read_window') return { status: 'skipped', error, next: null };
  const cannotReach = ERROR_CODES[error.code].retry === 'unreachable';
  const byItself = cannotReach && facts.scheduled ? { ...error, hint: joined(error.hint, 'It goes on by itself once the source answers.') } : error;
  if (error.code === 'source.breaker_open') return { status: 'skipped', error, next: `tidemark resume ${shellWord(facts.source)} --force` };
  return unwell('skipped', byItself, cannotReach ? `tidemark check ${shellWord(facts.source)}` : command);
}

function unwell(status: StreamStatus, error: ErrorInfo, next: string): StreamState {
  return { status, error: { ...error, hint: joined(error.hint, `Next: ${next}`) }, next };
}

function joined(hint: string | null, sentence: string): string {
  return hint === null ? sentence : `${hint} ${sentence}`;
}

/**
 * Seconds since the source's moment up to which the target is complete, to milliseconds; null before the first sync.
 * A run that brought rows is complete up to its snapshot, a poll that found nothing up to the poll itself; a run that did not end well
 * says nothing, so the time before it counts.
 */
export function lagSeconds(facts: LagFacts, now: number): number | null {
  if (!facts.hasWatermark) return null;
  const since = completeSince(facts);
  return since === null ? null : Math.max(0, Math.round((now - since) * 1_000) / 1_000);
}

type LagFacts = Pick<StreamFacts, 'hasWatermark' | 'last' | 'asOf' | 'checkedAt'>;

function completeSince(facts: LagFacts): number | null {
  const { last, asOf, checkedAt } = facts;
  if (last === null || checkedAt === null) return asOf ?? checkedAt;
  if (checkedSince(facts) || last.status !== 'completed' || last.batches === 0) return checkedAt;
  return asOf ?? checkedAt;
}

/** What a person should know though nothing has failed. */
export function warningsOf(facts: StreamFacts): string[] {
  const warnings = [...facts.notes];
  if ((facts.sourcePaused || facts.streamPaused) && facts.last?.status === 'running') warnings.push('a batch that had begun before the pause is still being finished');
  if (facts.futureRows > 0) warnings.push(`${rows(facts.futureRows)} beyond the future limit: loaded, and read again in each run`);
  if (facts.quarantined > 0) warnings.push(`${facts.quarantined === 1 ? '1 rejected row waits' : `${grouped(facts.quarantined)} rejected rows wait`} in quarantine (table tidemark.quarantine)`);
  return warnings;
}

function rows(count: number): string {
  return count === 1 ? '1 row lies' : `${grouped(count)} rows lie`;
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
