/** What a position of this connector holds, and how far the next run reaches back from it. */
import { createHash } from 'node:crypto';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Position } from '../../schemas/position.ts';
import type { Column } from '../../schemas/table.ts';
import type { OpenTransactions, ServerMarks } from './dialect.ts';

/** A bound that a run had frozen, with what is needed to tell whether a transaction began after that. */
export interface Held {
  /** The source's clock after the bound was frozen. */
  readonly at: string;
  readonly bound: string | null;
  /** Transactions open then, by name. */
  readonly ids: readonly string[];
}

/** One run's frozen facts. All values are the source's text. */
export interface Frozen {
  /** Greatest cursor within the future limit; null where there is none. */
  readonly bound: string | null;
  /** The source's clock before the bound was frozen. */
  readonly clock: string;
  /** Cursors beyond this are in the future; null for cursors that follow no clock. */
  readonly fence: string | null;
  /** Null: the source does not tell. */
  readonly open: OpenTransactions | null;
  /** Rows that the next run would read again at once, and their digest; null where they are too many. */
  readonly tail: string | null;
}

export interface State extends Record<string, unknown> {
  readonly version: 1;
  readonly cursor: string | null;
  readonly frozen: Frozen;
  readonly overlapSeconds: number;
  /** Oldest first; this run's own included. */
  readonly history: readonly Held[];
  /** Set while a run is under way: where its next batch starts. */
  readonly run: { readonly lower: string | null; readonly after: readonly string[]; readonly frozen: Frozen; readonly seen?: Seen } | null;
  /** Absent in positions of earlier versions. */
  readonly seen?: Seen;
}

/** What tells whether a later run meets the same history: see `witness.ts`. */
export interface Seen {
  /** Keys of rows at the bound, the highest first. */
  readonly last: readonly (readonly string[])[];
  readonly marks: Marks;
}

/** Null where the source does not tell. */
export interface Marks extends ServerMarks {
  /** The next value of the table's counter. */
  readonly next: string | null;
}

const HISTORY_MAX = 32;
const IDS_MAX = 200;
/** Clocks of members and their statements differ by less. */
const CLOCK_TOLERANCE_SECONDS = 1;

const CLOCK = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(\.\d+)?$/;

/** A time as text, moved by seconds; its fraction stays as it is. Text that is no time, or would leave the calendar, is returned unchanged. */
export function moveClock(text: string, seconds: number): string {
  const match = CLOCK.exec(text.length === 10 ? `${text} 00:00:00` : text);
  if (match === null) return text;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [number, number, number, number, number, number];
  const moved = new Date(0);
  moved.setUTCFullYear(year, month - 1, day);
  moved.setUTCHours(hour, minute, second + seconds);
  if (moved.getUTCFullYear() < 1 || moved.getUTCFullYear() > 9999) return text;
  return moved.toISOString().slice(0, 19).replace('T', ' ') + (match[7] ?? '');
}

/** The earlier of two texts of the same form; null is before everything. */
function earlier(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return null;
  return a < b ? a : b;
}

function beganAfter(held: Held, open: OpenTransactions): boolean {
  if (open.oldest !== null && held.at >= moveClock(open.oldest, -CLOCK_TOLERANCE_SECONDS)) return false;
  return !open.ids.some((id) => held.ids.includes(id)) && held.ids.length < IDS_MAX;
}

/**
 * Inclusive lower bound of the next run; null: from the first row. It reaches back to the bound that was held before the oldest
 * transaction began that was open at the last run. A time cursor that stands ahead of the source's clock counts only up to the
 * clock, since others may still write between the two. Where open transactions are not known, `overlapSeconds` are read again.
 */
export function lowerBound(state: State, order: Column['order']): string | null {
  const { bound, clock, open } = state.frozen;
  const seen = order === 'time' ? earlier(bound, clockAs(bound, clock)) : bound;
  if (open === null) return earlierBy(state, order, moveClock(clock, -state.overlapSeconds), seen);
  if (open.oldest === null && open.ids.length === 0) return seen;
  const held = state.history.findLast((each) => beganAfter(each, open));
  if (held !== undefined) return order === 'time' ? earlier(earlier(held.bound, clockAs(held.bound, held.at)), seen) : held.bound;
  return order === 'time' && open.oldest !== null && open.ids.length === 0
    ? earlier(seen, clockAs(bound, moveClock(open.oldest, -state.overlapSeconds - CLOCK_TOLERANCE_SECONDS)))
    : null;
}

/** A clock's text in the form of the cursor's: a date where the cursor is one. */
function clockAs(bound: string | null, clock: string): string {
  return bound?.length === 10 ? clock.slice(0, 10) : clock;
}

function earlierBy(state: State, order: Column['order'], from: string, seen: string | null): string | null {
  if (seen === null) return null;
  if (order === 'time') return earlier(seen, clockAs(seen, earlier(moveClock(seen, -state.overlapSeconds), from) ?? from));
  return state.history.findLast((held) => held.at <= from)?.bound ?? null;
}

/**
 * At most {@link HISTORY_MAX} entries, their distances growing with age, so that reaching back goes at most about twice as far as
 * needed.
 */
export function withHeld(history: readonly Held[], frozen: Frozen): readonly Held[] {
  const ids = (frozen.open?.ids ?? []).slice(0, IDS_MAX);
  const kept = [...history, { at: frozen.open?.at ?? frozen.clock, bound: frozen.bound, ids }];
  while (kept.length > HISTORY_MAX) kept.splice(leastTelling(kept), 1);
  return kept;
}

/** The entry between two that lie closest together, measured by their age. The oldest and the newest stay. */
function leastTelling(history: readonly Held[]): number {
  const age = (at: number): number => secondsOf(history.at(-1)?.at ?? '') - secondsOf(history[at]?.at ?? '');
  let least = 1;
  let ratio = Number.POSITIVE_INFINITY;
  for (let at = 1; at < history.length - 1; at += 1) {
    const found = (age(at - 1) + 1) / (age(at + 1) + 1);
    if (found < ratio) [least, ratio] = [at, found];
  }
  return least;
}

function secondsOf(clock: string): number {
  return Date.parse(`${moveClock(clock, 0).replace(' ', 'T').slice(0, 19)}Z`) / 1000 || 0;
}

export function tailDigest(rows: number, digest: string): string {
  return createHash('sha256').update(`${rows}:${digest}`).digest('hex').slice(0, 32);
}

/** The state of a position. Throws `source.history_lost` where it is of another server, table or cursor, or not to be read. */
export function readState(position: Position, server: string, table: string, cursor: string | null): State {
  const lost = (what: string): TidemarkError =>
    new TidemarkError('source.history_lost', `The position of this stream was taken on ${what}.`, { hint: 'Plan a rebuild with tidemark reset.' });
  if (position.server !== server) throw lost('another database');
  if (position.table !== table) throw lost('another table of that name: it was dropped and made again');
  const state = position.state as State;
  if (state.version !== 1 || state.cursor !== cursor) throw lost('another cursor column');
  return state;
}
