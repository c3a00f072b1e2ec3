/** What a position of this connector holds, and when it is refused. All values of the source are its own text. */
import { z } from 'zod';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Position } from '../../schemas/position.ts';

const text = z.string().nullable();

/** Where the next run starts: taken at a run's first snapshot, valid once all rows of that run have arrived. */
const markSchema = z.strictObject({
  /** Inclusive lower bound of the cursor; null: no bound. */
  low: text,
  /** Highest cursor value within the future limit that was ever seen. */
  top: text,
  /** `xmin:xmax:xip,...` of the snapshot. */
  snapshot: z.string(),
  /** Rows of transactions from this one on are new to the next run. */
  since: z.string(),
  /** Start of the server (and of its checkpointer, where visible): it changes with a restart or a crash. */
  started: z.string(),
  /** WAL position in bytes. */
  wal: z.string(),
  timeline: text,
  /** Another transaction was open, or could have been: the next run also looks for new rows below `low`. */
  open: z.boolean(),
  /**
   * The last look at the whole table: from which transaction on rows have not been looked for everywhere, when that was
   * (source's clock, microseconds), and what the runs after it read, newest first: from which transaction on, from which
   * cursor on.
   */
  scanned: z.strictObject({ since: z.string(), at: z.string(), runs: z.array(z.strictObject({ since: z.string(), low: text })) }),
  /** Rows without a place in the cursor's order (NULL, beyond `fence`, -infinity), counted up to a limit. */
  outside: z.strictObject({ fence: text, rows: z.string() }),
  /** OIDs of the tables that hold the rows, so that an attached partition is noticed. */
  leaves: z.string(),
  /** `[cursor, xmin, key...]` of the last rows, and the files that held them: see `witness.ts`. Absent in positions of earlier versions. */
  last: z.array(z.array(z.string())).optional(),
  file: z.string().optional(),
  /** Rows, for a stream without cursor. */
  count: text,
  /** Row versions were visible: the bounds are made for them. */
  versions: z.boolean(),
  /** Earlier lower bounds with their time, newest first: only for relations without row versions. */
  history: z.array(z.strictObject({ at: z.string(), low: text })),
});

/** Progress inside a run; absent between runs. */
const runSchema = z.strictObject({
  /** Rows of transactions from this one on are read; null: all rows. */
  since: text,
  /** OIDs of partitions attached since the last run: read whole. */
  fresh: z.array(z.string()),
  /** Frozen upper bound, inclusive. */
  upper: z.string(),
  /** Cursor and key of the last row of the batches so far. */
  at: z.array(z.string()),
  /** The higher of the first of `at` and the top before this run: what people see. */
  shown: z.string(),
  /** At the run's first snapshot sessions hid their transactions. */
  hidden: z.boolean(),
});

const stateSchema = z.strictObject({
  v: z.literal(1),
  cursor: text,
  /** Type of the cursor column, as the catalog prints it. */
  type: text,
  mark: markSchema,
  run: runSchema.nullable(),
});

export type Mark = z.infer<typeof markSchema>;
export type Run = z.infer<typeof runSchema>;
export type State = z.infer<typeof stateSchema>;

export interface PositionOwner {
  readonly server: string;
  readonly table: string;
  readonly cursor: string | null;
  readonly cursorType: string | null;
}

/** Throws `source.history_lost` for a position of another server or table, `source.schema_changed` for another cursor. */
export function parsePosition(position: Position, owner: PositionOwner, where: string): State {
  if (position.server !== owner.server) {
    throw historyLost(`${where}: the stored position is of another server or database.`);
  }
  if (position.table !== owner.table) {
    throw historyLost(`${where}: the table was dropped and made again since the stored position was taken.`);
  }
  const state = readState(position);
  if (state === null) throw historyLost(`${where}: the stored position can't be read.`);
  if (state.cursor !== owner.cursor || (owner.cursorType !== null && !sameOrder(state.type, owner.cursorType))) {
    throw new TidemarkError('source.schema_changed', `${where}: the stored position is of cursor ${state.cursor ?? '(none)'} ${state.type ?? ''}, the stream now has ${owner.cursor ?? '(none)'} ${owner.cursorType ?? ''}.`, {
      hint: 'A position can\'t be carried over to another cursor or type: plan a full sync of the stream.',
    });
  }
  return state;
}

/** Null where the position was not written by this connector in this version of the format. */
export function readState(position: Position): State | null {
  return stateSchema.safeParse(position.state).data ?? null;
}

export function historyLost(message: string): TidemarkError {
  return new TidemarkError('source.history_lost', message, { hint: 'Nothing starts over by itself: plan a full sync of the stream.' });
}

export function toPosition(owner: PositionOwner, state: Omit<State, 'v' | 'cursor' | 'type'>): Position {
  const shown = state.run === null ? state.mark.top : state.run.shown;
  return {
    server: owner.server,
    table: owner.table,
    display: shown === null ? null : displayed(shown, owner.cursorType),
    state: { v: 1, cursor: owner.cursor, type: owner.cursorType, ...state },
  };
}

/** Types whose text keeps its value and its order when a column changes from one to another. */
const WIDENINGS: readonly ReadonlySet<string>[] = [new Set(['smallint', 'integer', 'bigint'])];

function sameOrder(before: string | null, now: string): boolean {
  const bare = (type: string): string => type.replace(/\(\d+\)/, '');
  if (before === null || before === now) return before !== null;
  if (bare(before) === bare(now) && /^character varying|^numeric/.test(now)) return true;
  if (bare(before) === bare(now) && now.startsWith('timestamp') && fractionOf(before) <= fractionOf(now)) return true;
  return WIDENINGS.some((group) => group.has(before) && group.has(now));
}

/** Digits of a fraction of a second. */
function fractionOf(type: string): number {
  return Number(/\((\d+)\)/.exec(type)?.[1] ?? '6');
}

/** ISO 8601 for time cursors, else the text itself. */
function displayed(value: string, type: string | null): string {
  if (!type?.startsWith('timestamp') || value.includes('infinity')) return value;
  return value.replace(' ', 'T').replace(/\+00( BC)?$/, 'Z$1');
}
