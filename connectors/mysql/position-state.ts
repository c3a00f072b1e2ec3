/**
 * What a position of this connector holds, and what can be said of it without asking the server.
 *
 * Cursor values are the server's text and are compared only by the server. Clock values are the server's UTC clock as
 * `YYYY-MM-DD HH:MM:SS.ffffff`, which sorts as text.
 */
import { z } from 'zod';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Position } from '../../schemas/position.ts';

const cursorValue = z.string().nullable();
const openSchema = z.strictObject({ id: z.string(), thread: z.string(), start: z.string().nullable() });

const tailSchema = z.strictObject({
  /** Rows from any of these cursor values on (null: all) were read by the run and are what the next one reads again. */
  from: z.array(z.string()).nullable(),
  /** The digest covers less than the next run reads again: a remembered transaction that has ended calls for a read. */
  partial: z.boolean(),
  /** Largest cursor value of all, future rows included. */
  max: cursorValue,
  digest: z.string(),
});

const runSchema = z.strictObject({
  bound: cursorValue,
  at: z.strictObject({ cursor: z.string(), key: z.array(z.string()) }),
});

/** What a server or table that has gone back has less of; null where it does not tell. */
const marksSchema = z.strictObject({
  /** Start of the server, seconds since 1970 by its clock. */
  started: z.string().nullable(),
  /** Bytes of the redo log that were on disk. */
  log: z.string().nullable(),
  /** The next AUTO_INCREMENT value. */
  next: z.string().nullable(),
});

const stateSchema = z.strictObject({
  version: z.literal(1),
  cursor: z.strictObject({ name: z.string(), family: z.string(), fraction: z.number() }).nullable(),
  key: z.array(z.string()),
  /** When the table was made or last rebuilt, as the catalog tells. */
  made: z.string().nullable(),
  /** `[clock, bound]`, oldest first: no transaction that began after `clock` brings a row below `bound`; null: before the first row. */
  history: z.array(z.tuple([z.string(), cursorValue])),
  open: z.array(openSchema),
  /** Where the next run begins if no remembered transaction has ended: the smallest of these; null: at the first row. */
  lower: z.array(z.string()).nullable(),
  bound: cursorValue,
  /** Set within a run: what remains of it. */
  run: runSchema.nullable(),
  tail: tailSchema,
  /** `[cursor, key...]` of the last rows, the highest first: see `witness.ts`. */
  last: z.array(z.array(z.string())),
  /** Absent in positions of earlier versions. */
  marks: marksSchema.optional(),
});

export type ReadState = z.infer<typeof stateSchema>;
export type Marks = z.infer<typeof marksSchema>;

/** Throws `source.history_lost` for a position of another server or table, or one that this version can't read. */
export function parsePosition(position: Position, server: string, table: string): ReadState {
  if (position.server !== server) throw lost('The position was taken on another server.');
  if (position.table !== table) throw lost('The position was taken on another table.');
  const parsed = stateSchema.safeParse(position.state);
  if (!parsed.success) throw lost('The position can\'t be read by this version.');
  return parsed.data;
}

export function lost(message: string): TidemarkError {
  return new TidemarkError('source.history_lost', message, { hint: 'Check the source. To build the stream anew: tidemark reset, then approve.' });
}

const HISTORY_MAX = 32;

function ageMs(clock: string, now: string): number {
  return Math.max(Date.parse(`${now.replace(' ', 'T')}Z`) - Date.parse(`${clock.replace(' ', 'T')}Z`), 1);
}

type Entry = readonly [string, string | null];

/** Drops entries whose neighbours serve nearly as well: reaching past one costs at most `ratio` times its age. */
function spaced(history: readonly Entry[], now: string, ratio: number): readonly Entry[] {
  const kept: Entry[] = [];
  for (const [index, entry] of history.entries()) {
    const before = kept.at(-1);
    const after = history[index + 1];
    const needed = before === undefined || after === undefined || ageMs(before[0], now) > ratio * ageMs(after[0], now);
    if (needed) kept.push(entry);
  }
  return kept;
}

/** Adds an entry and thins the older ones: exponentially spaced in age, at most 32. */
export function addHistory(history: readonly Entry[], entry: Entry): [string, string | null][] {
  let kept: readonly Entry[] = [...history.filter(([clock]) => clock < entry[0]), entry];
  for (let ratio = 2; ratio === 2 || kept.length > HISTORY_MAX; ratio *= 2) kept = spaced(kept, entry[0], ratio);
  return kept.map(([clock, bound]) => [clock, bound]);
}

/** The bound below which nothing that began at `start` or later can bring a row; null: before the first row. */
export function boundBefore(history: readonly Entry[], start: string | null): string | null {
  if (start === null) return null;
  return history.findLast(([clock]) => clock <= start)?.[1] ?? null;
}

/** Clock text, seconds earlier. Clocks are not values of rows: milliseconds do. */
export function earlierClock(clock: string, seconds: number): string {
  return new Date(Date.parse(`${clock.replace(' ', 'T')}Z`) - seconds * 1000).toISOString().replace('T', ' ').replace('Z', '000');
}
