import { flag, InputSchema, oneOf, optional, orNull, text, texts, wholeNumber, type Given, type Parsed } from './workflow-input.ts';

const FIELDS = {
  /** Id of the source as applied. */
  source: text,
  /** Names of streams; null: all. */
  streams: orNull(texts),
  /** Build a new generation of each. */
  full: optional(flag, false),
  /** Scan for deleted rows now, in the streams that have `deletes: scan`. */
  detectDeletes: optional(flag, false),
  trigger: optional(oneOf('manual', 'schedule', 'window'), 'manual'),
  /** For a window: it polls every `everySeconds` until `windowOffsetSeconds` after the next multiple of `windowSeconds` since the epoch. */
  windowSeconds: orNull(wholeNumber(1)),
  everySeconds: orNull(wholeNumber(1)),
  windowOffsetSeconds: optional(wholeNumber(0), 0),
};

/** The one JSON object that starts `syncSource`: everything but the source has a default, so `{"source":"hq"}` in Temporal's UI is enough. */
export const syncInputSchema = new InputSchema(FIELDS);

export type SyncInput = Given<typeof FIELDS>;
export type SyncRequest = Parsed<typeof FIELDS>;
