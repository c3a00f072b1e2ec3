import { z } from 'zod';

/**
 * The one JSON object that starts `backfillStream`. Either `backfill`, the id of a range that was written down (`tidemark backfill` does that), or
 * `from` and `to`, for time cursors only: other values of a cursor do not go through Temporal.
 */
export const backfillInputSchema = z.strictObject({
  source: z.string().min(1).describe('Id of the source as applied'),
  stream: z.string().min(1).describe('Name of the stream as applied'),
  backfill: z.number().int().positive().nullable().default(null),
  from: z.string().min(1).nullable().default(null).describe('First time, inclusive: 2026-01-31 or 2026-01-31T08:00:00Z'),
  to: z.string().min(1).nullable().default(null).describe('Last time, exclusive'),
  slice: z.string().min(1).nullable().default(null).describe('Length of a slice: 1h, 1d; of a number cursor a number'),
  parallel: z.number().int().min(1).max(16).default(2).describe('Slices at once'),
  onlyGaps: z.boolean().default(false).describe('Leave out what the ledger proves'),
  /** Which execution of a long backfill this is; set by the workflow itself. */
  chapter: z.number().int().nonnegative().default(0),
});

export type BackfillInput = z.input<typeof backfillInputSchema>;
export type BackfillRequest = z.output<typeof backfillInputSchema>;
