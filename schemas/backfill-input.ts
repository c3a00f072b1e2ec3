import { flag, InputSchema, optional, orNull, text, wholeNumber, type Given, type Parsed } from './workflow-input.ts';

const FIELDS = {
  /** Id of the source as applied. */
  source: text,
  /** Name of the stream as applied. */
  stream: text,
  backfill: orNull(wholeNumber(1)),
  /** First time, inclusive: 2026-01-31 or 2026-01-31T08:00:00Z. */
  from: orNull(text),
  /** Last time, exclusive. */
  to: orNull(text),
  /** Length of a slice: 1h, 1d; of a number cursor a number. */
  slice: orNull(text),
  /** Slices at once. */
  parallel: optional(wholeNumber(1, 16), 2),
  /** Leave out what the ledger proves. */
  onlyGaps: optional(flag, false),
  /** Which execution of a long backfill this is; set by the workflow itself. */
  chapter: optional(wholeNumber(0), 0),
};

/**
 * The one JSON object that starts `backfillStream`. Either `backfill`, the id of a range that was written down (`tidemark backfill` does that), or
 * `from` and `to`, for time cursors only: other values of a cursor do not go through Temporal.
 */
export const backfillInputSchema = new InputSchema(FIELDS);

export type BackfillInput = Given<typeof FIELDS>;
export type BackfillRequest = Parsed<typeof FIELDS>;
