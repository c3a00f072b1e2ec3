/** When a source is read: cron expressions, time zones and hours. Checked here, so that a typo fails with the file and not at night. */
import { Cron } from 'croner';
import { z } from 'zod';
import { positiveDurationSchema } from './config-values.ts';

/** True for an IANA name (`Africa/Dar_es_Salaam`) or `UTC`. Offsets such as `+03:00` have no summer time and are refused. */
function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Five fields, as Temporal's schedules read them, that fire at least once. */
function isCron(expression: string): boolean {
  if (expression.trim().split(/\s+/).length !== 5 || !/^[0-9A-Za-z*,/\s-]+$/.test(expression)) return false;
  try {
    return new Cron(expression.trim(), { paused: true, timezone: 'UTC' }).nextRun() !== null;
  } catch {
    return false;
  }
}

export const timeZoneSchema = z.string().refine(isTimeZone, {
  error: 'This time zone is unknown; Write an IANA name such as Africa/Dar_es_Salaam, or UTC.',
});

export const cronSchema = z
  .string()
  .refine(isCron, { error: 'This is not a cron expression that ever fires; Write five fields: minute hour day month weekday, for example "0 2 * * *".' })
  .transform((expression) => expression.trim().replace(/\s+/g, ' '));

const CLOCK = '([01]\\d|2[0-3]):[0-5]\\d';

/** Hours in which a source may be read; may span midnight. */
export const readWindowSchema = z
  .string()
  .regex(new RegExp(`^\\s*${CLOCK}\\s*-\\s*${CLOCK}\\s*$`), { error: 'These are not hours of a day; Write from-to, for example "22:00-05:30".' })
  .transform((window) => window.replace(/\s+/g, ''))
  .refine((window) => window.slice(0, 5) !== window.slice(6), { error: 'This window is empty; Write two different times, or leave it out.' });

/** When source and targets are compared by themselves; null lifts what `defaults` say. */
export const reconcileScheduleSchema = z
  .strictObject({
    schedule: cronSchema.optional().meta({ description: 'Cron expression of five fields, in time_zone.' }),
    every: positiveDurationSchema.optional().meta({ description: 'Time between comparisons.' }),
  })
  .refine((written) => (written.schedule === undefined) !== (written.every === undefined), { error: 'This does not say once when to compare; Write either { schedule: "0 3 * * *" } or { every: 1d }.' })
  .nullable()
  .meta({ description: 'Compare source and targets by a schedule, beside the syncs.' });
