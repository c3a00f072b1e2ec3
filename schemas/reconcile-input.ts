import { flag, InputSchema, oneOf, optional, orNull, text, texts, type Given, type Parsed } from './workflow-input.ts';

const FIELDS = {
  /** Id of the source as applied. */
  source: text,
  /** Names of streams; null: all. */
  streams: orNull(texts),
  /** Copy again what differs. */
  repair: optional(flag, false),
  /** Who asked: a schedule passes over streams that it is not to compare. */
  trigger: optional(oneOf('manual', 'schedule'), 'manual'),
};

/** The one JSON object that starts `reconcileSource`: `{"source":"hq"}` typed into Temporal's UI compares all of its streams. */
export const reconcileInputSchema = new InputSchema(FIELDS);

export type ReconcileInput = Given<typeof FIELDS>;
export type ReconcileRequest = Parsed<typeof FIELDS>;
