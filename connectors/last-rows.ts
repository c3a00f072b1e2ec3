/**
 * Whether a source still has the history that was read, told from the rows that were read last. One rule for all connectors that keep such
 * rows in their positions.
 *
 * A row that is not there may have been deleted, and one with an earlier cursor may have been set back by hand, so rows prove nothing alone:
 * there must be a sign that the history could be another one. Without a sign nobody asks for the rows.
 */

/** Fewer rows than these may well have been deleted one by one. */
const SEVERAL = 3;

/** What became of a row that was read last: it is there (changed since, perhaps), has an earlier cursor than it had, or is gone. */
export type Fate = 'there' | 'back' | 'gone';

export interface Signs {
  /** For people: what of the source has gone back, or that the table was made anew; null: nothing did. */
  readonly setBack: string | null;
  /** The server was started again since. */
  readonly restarted: boolean;
  /** The server's log was seen then and now, and has only grown: files of an older day would show, unless they have outgrown it since. */
  readonly logGrew: boolean;
}

export interface LastRows {
  /** Of the rows with the highest cursors that were read, the highest first; none where the position holds none. */
  readonly fates: readonly Fate[];
  /** The table has a row. */
  readonly filled: boolean;
  /** No row stands where the first of the rows stood, or beyond. */
  readonly endsBelow: boolean;
}

/** A sign that calls for a look at the rows. */
export function isSuspect({ setBack, restarted }: Signs): boolean {
  return setBack !== null || restarted;
}

/**
 * Why this is another history, for people; null where it may be the same. A source that goes back to an earlier day has lost the row with the
 * highest cursor first of all: while that row is there, so is what was read before it.
 */
export function otherHistory(signs: Signs, rows: LastRows): string | null {
  const [highest] = rows.fates;
  if (highest === undefined || highest === 'there') return null;
  if (signs.setBack !== null) return `${signs.setBack}, and the row at the watermark is gone or has gone back: the source was restored from a backup, or the table was dropped or emptied and filled anew`;
  // An empty table may be about to be filled again.
  if (!signs.restarted || !rows.filled) return null;
  if (rows.fates.length >= SEVERAL && rows.fates.every((fate) => fate !== 'there')) return 'the server was started again, and none of the rows that were read last is there as it was: the source was restored from a backup, or the table was filled anew';
  if (signs.logGrew) return null;
  return rows.endsBelow || highest === 'back' ? 'the server was started again, and the table ends below the watermark: the source was restored from a backup' : null;
}

/** Both are digits; false where one is not known. */
export function hasFallen(was: string | null, now: string | null): boolean {
  return was !== null && now !== null && BigInt(now) < BigInt(was);
}
