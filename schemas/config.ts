/**
 * The configuration file: its strict schemas, in both spellings. Types are inferred from them.
 *
 * Every key of `defaults` may stand in a source and in a stream; the narrowest wins (`control/configuration/merge.ts`).
 * `connection` is left open here: the connector's manifest checks it.
 */
import { z } from 'zod';
import { eventsSchema } from './config-events.ts';
import { columnsSchema, deletesSchema, maskSchema, retentionSchema, ruleSchema } from './config-rows.ts';
import { cronSchema, readWindowSchema, reconcileScheduleSchema, timeZoneSchema } from './config-schedule.ts';
import { durationSchema, nameSchema, positiveDurationSchema, prioritySchema, rowCountSchema, shareSchema, sourceIdSchema, targetSchema } from './config-values.ts';

const breakerSchema = z.strictObject({
  failures: z.int().min(1).max(1000).optional(),
  cooldown: positiveDurationSchema.optional(),
  successes: z.int().min(1).max(1000).optional(),
});

/** What may stand at every level. `null` lifts what a wider level has set, where that makes sense. */
const inheritable = {
  enabled: z.boolean().optional(),
  priority: prioritySchema.optional().meta({ description: 'Default normal.' }),
  poll_interval: positiveDurationSchema.optional().meta({ description: 'Time between polls. Neither this nor schedule: only run by hand.' }),
  schedule: cronSchema.nullable().optional().meta({ description: 'Cron expression of five fields; null: only run by hand.' }),
  time_zone: timeZoneSchema.optional().meta({ description: 'IANA name for schedule and read_window. Default UTC.' }),
  read_window: readWindowSchema.nullable().optional().meta({ description: 'Hours in which the source may be read: "22:00-05:30".' }),
  mode: z.enum(['upsert', 'append', 'replace']).optional().meta({ description: 'Default upsert.' }),
  batch_size: rowCountSchema.optional().meta({ description: 'Rows per fetch from the source. Default 2000.' }),
  batch_rows: rowCountSchema.optional().meta({ description: 'Rows that commit together at most. A build that has begun keeps its parts: sync --full begins it anew.' }),
  overlap: durationSchema.optional().meta({ description: 'What is read again where the source can\'t tell its open transactions. Default 60s.' }),
  future_limit: durationSchema.optional().meta({ description: 'How far beyond the source\'s clock a cursor may lie. Default 24h.' }),
  drift: z.enum(['evolve', 'freeze', 'ignore']).optional().meta({ description: 'What a changed table does to the target. Default evolve.' }),
  delete_cap: shareSchema.optional().meta({ description: 'Share of rows above which a delete stops and asks. Default 10 %.' }),
  keep_generations: z.int().min(0).max(100).optional().meta({ description: 'Old builds of a target that are kept. Default 1.' }),
  bad_rows_max: shareSchema.optional().meta({ description: 'Share of rejected rows above which a stream parks. Default 10 %.' }),
  breaker: breakerSchema.optional().meta({ description: 'Default { failures: 5, cooldown: 60s, successes: 2 }.' }),
  sessions_max: z.int().min(1).max(1000).optional().meta({ description: 'Sessions at the source at once, over all workers. Default 4.' }),
  statement_timeout: positiveDurationSchema.optional().meta({ description: 'Longest statement at the source. Default 30m.' }),
  freshness: positiveDurationSchema.nullable().optional().meta({ description: 'Objective; missing it is an event.' }),
  retention: retentionSchema.nullable().optional(),
  rules: z.array(ruleSchema).optional(),
  mask: z.record(nameSchema, maskSchema).optional().meta({ description: 'Source column: mask. Levels are joined by column.' }),
  transform: z.record(nameSchema, z.string().min(1)).optional().meta({ description: 'Target column: SQL expression. Levels are joined by column.' }),
  deletes: deletesSchema.nullable().optional(),
  columns: columnsSchema.optional(),
  types: z.record(z.string().min(1), z.string().min(1)).optional().meta({ description: 'Choices of types that the connector offers. Levels are joined by name.' }),
};

export const defaultsSchema = z.strictObject({ ...inheritable, reconcile: reconcileScheduleSchema.optional() });

export const streamSchema = z.strictObject({
  table: nameSchema.meta({ description: 'As the source has it: TABLE or SCHEMA.TABLE.' }),
  target: targetSchema.optional().meta({ description: 'schema.table in the destination. Default <source id>.<table>.' }),
  cursor: nameSchema.optional().meta({ description: 'Column whose order says what is new. Left out: discovered.' }),
  key: z.array(nameSchema).optional().meta({ description: 'Left out: discovered. Empty: there is none.' }),
  reconcile: z.null().optional().meta({ description: 'null: not compared by the schedule of its source.' }),
  touch_log: z.array(nameSchema).optional().meta({ description: 'Columns whose old values are kept for rows that change, for tables derived from this one. Default: none.' }),
  ...inheritable,
});

const streamEntrySchema = z.union([nameSchema, streamSchema]).meta({ description: 'A table\'s name, or a table with settings.' });

const connectionSchema = z.record(z.string(), z.unknown()).meta({ description: 'Fields are those of the kind of source.' });

const sourceShape = {
  id: sourceIdSchema,
  name: z.string().min(1).max(400).optional(),
  connection: connectionSchema,
  reconcile: reconcileScheduleSchema.optional(),
  fallback: connectionSchema.nullable().optional().meta({ description: 'A second connection, used while the first one\'s breaker is open.' }),
  ...inheritable,
};

const kindSchema = z.string().min(1);

export const sourceSchema = z.strictObject({
  ...sourceShape,
  kind: kindSchema.meta({ description: 'The connector.' }),
  streams: z.array(streamEntrySchema).min(1),
});

/** The second spelling: a whole number of seconds in `poll_interval`, tables by name. */
export const endpointSchema = z.strictObject({
  ...sourceShape,
  db_type: kindSchema.meta({ description: 'The connector.' }),
  tables: z.array(streamEntrySchema).min(1),
});

const keySourceSchema = z.union([z.strictObject({ env: z.string().min(1) }), z.strictObject({ file: z.string().min(1) })], {
  error: 'This does not say where the key comes from; Write { env: VARIABLE } or { file: PATH }; the key is 32 bytes in base64.',
});

const head = {
  destination: z.strictObject({ url: z.string().min(1).meta({ description: 'postgresql://… ; Left out: DESTINATION_URL.' }) }).optional(),
  keys: z.record(z.string().min(1), keySourceSchema).optional().meta({ description: 'Keys for masks: 32 bytes in base64.' }),
  events: eventsSchema.optional().meta({ description: 'Who is told of what happens.' }),
  defaults: defaultsSchema.optional(),
};

export const configSchema = z.strictObject({ ...head, sources: z.array(sourceSchema) });
export const endpointsConfigSchema = z.strictObject({ ...head, endpoints: z.array(endpointSchema) });

/** For messages about a key at the wrong level. */
export const inheritableKeys: readonly string[] = Object.keys(inheritable);
export const sourceOnlyKeys: readonly string[] = Object.keys(sourceSchema.shape).filter((key) => !inheritableKeys.includes(key));

export type DefaultsConfig = z.output<typeof defaultsSchema>;
export type StreamConfig = z.output<typeof streamSchema>;
export type SourceConfig = z.output<typeof sourceSchema>;
export type EndpointConfig = z.output<typeof endpointSchema>;
export type FileConfig = z.output<typeof configSchema>;
export type EndpointsFileConfig = z.output<typeof endpointsConfigSchema>;
