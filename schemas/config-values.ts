/**
 * Single values of the configuration file. Each schema takes what a person writes and gives what {@link Settings} holds.
 *
 * A message says what to write after `; `: the loader shows that part as the hint. No message holds the value it is about.
 */
import { z } from 'zod';
import { DURATION_PATTERN, parseDuration, parsePeriod } from './duration.ts';

const DURATION_ERROR = 'This is not a duration; Write for example 30s, 5m, 24h or 1d, or a whole number of seconds.';

/** Seconds. */
export const durationSchema = z
  .union([z.int().min(0), z.string().regex(DURATION_PATTERN, { error: DURATION_ERROR })], { error: DURATION_ERROR })
  .transform((written, context) => {
    const seconds = parseDuration(String(written));
    if (seconds !== null) return seconds;
    context.addIssue({ code: 'custom', message: DURATION_ERROR });
    return z.NEVER;
  });

/** Seconds, at least one. */
export const positiveDurationSchema = durationSchema.refine((seconds) => seconds > 0, {
  error: 'A duration of zero makes no sense here; Write for example 30s.',
});

const PERIOD_ERROR = 'This is not a period; Write for example 90 days, 18 months or 7 years.';

/** A calendar period in PostgreSQL's words: `7 years`. */
export const periodSchema = z.string({ error: PERIOD_ERROR }).transform((written, context) => {
  const period = parsePeriod(written);
  if (period !== null) return period;
  context.addIssue({ code: 'custom', message: PERIOD_ERROR });
  return z.NEVER;
});

const SHARE_ERROR = 'This is not a share of rows; Write for example 10 % or 0.1.';
const SHARE_PATTERN = /^\s*\d+(\.\d+)?\s*%?\s*$/;

/** A share of rows, 0 to 1. */
export const shareSchema = z
  .union([z.number().min(0).max(1), z.string().regex(SHARE_PATTERN, { error: SHARE_ERROR })], { error: SHARE_ERROR })
  .transform((written, context) => {
    const share = typeof written === 'number' ? written : Number.parseFloat(written) / (written.includes('%') ? 100 : 1);
    if (share <= 1) return share;
    context.addIssue({ code: 'custom', message: SHARE_ERROR });
    return z.NEVER;
  });

/** Ids of sources stand in workflow ids, schedule names and schema names: one spelling everywhere. */
export const sourceIdSchema = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, {
  error: 'This can\'t be an id; Use lower-case letters, digits, _ and -, at most 63, beginning with a letter or a digit.',
});

/** A name of the source or the destination: printed in full, so no control characters. */
export const nameSchema = z
  .string()
  .min(1, { error: 'The name is empty; Write the name as the database has it.' })
  .max(400, { error: 'The name is too long; Names have at most 400 characters.' })
  .regex(/^[^\u0000-\u001f\u007f]*$/, { error: 'The name holds a control character; Write the name as the database has it.' });

const TARGET_ERROR = 'This can\'t be a target; Write schema.table, each part at most 63 bytes, in a schema that is not reserved.';
const RESERVED_SCHEMA = /^(tidemark|information_schema|pg_.*)$/;

/** `schema.table` or `table`, exactly as PostgreSQL shall have the names. */
export const targetSchema = nameSchema.refine(
  (written) => {
    const parts = written.split('.');
    return (
      parts.length <= 2 &&
      parts.every((part) => part.trim() === part && part !== '' && Buffer.byteLength(part) <= 63) &&
      !(parts.length === 2 && RESERVED_SCHEMA.test(parts[0] ?? ''))
    );
  },
  { error: TARGET_ERROR },
);

export const prioritySchema = z.enum(['critical', 'high', 'normal', 'medium', 'low']).transform((word) => (word === 'medium' ? 'normal' : word));

/** A value to compare with, kept as text so that no digit is lost. */
export const comparedValueSchema = z
  .union([z.string(), z.number(), z.boolean()], { error: 'A single value belongs here; Write a text, a number or true/false.' })
  .transform(String);

export const rowCountSchema = z.int().min(1).max(10_000_000);
