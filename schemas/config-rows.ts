/** What happens to the rows of a stream: columns, masks, transforms, rules, deletes and retention, as they stand in the file. */
import { z } from 'zod';
import { comparedValueSchema, durationSchema, nameSchema, periodSchema } from './config-values.ts';
import type { Deletes, Mask, Rule } from './settings.ts';

export const columnsSchema = z.strictObject({
  include: z.array(nameSchema).min(1).optional().meta({ description: 'Columns to read; "*" stands for all. Default: all.' }),
  exclude: z.array(nameSchema).optional().meta({ description: 'Columns that never leave the source.' }),
});

const keyName = z.string().min(1).meta({ description: 'A name under keys:.' });

/** `none` lifts a mask that a wider level has set. */
export const maskSchema = z
  .union([
    z.enum(['redact', 'drop', 'date_year', 'partial', 'none']),
    z.strictObject({ partial: z.int().min(0).max(100) }),
    z.strictObject({ hmac: keyName }),
    z.strictObject({ encrypt: keyName }),
  ], { error: 'This mask is unknown; Write redact, drop, date_year, { partial: 4 }, { hmac: KEY }, { encrypt: KEY } or none.' })
  .transform((written): Mask | null => {
    if (written === 'none') return null;
    if (written === 'partial') return { kind: 'partial', keep: 4 };
    if (typeof written === 'string') return { kind: written };
    if ('partial' in written) return { kind: 'partial', keep: written.partial };
    return 'hmac' in written ? { kind: 'hmac', key: written.hmac } : { kind: 'encrypt', key: written.encrypt };
  });

const rangeSchema = z
  .strictObject({ min: comparedValueSchema.optional(), max: comparedValueSchema.optional() })
  .refine((range) => range.min !== undefined || range.max !== undefined, { error: 'This range has no end; Write min, max or both.' });

const checkSchema = z
  .union([
    z.string().min(1),
    z.strictObject({ in: z.array(comparedValueSchema).min(1) }),
    z.strictObject({ range: rangeSchema }),
    z.strictObject({ matches: z.string().min(1) }),
    z.strictObject({ references: z.strictObject({ table: nameSchema, column: nameSchema }) }),
    z.strictObject({ sql: z.string().min(1) }),
  ], { error: 'This check is unknown; Write not_null, unique, an SQL condition, or { in: [...] }, { range: {min, max} }, { matches: PATTERN }, { references: {table, column} }.' })
  .transform((written): Pick<Rule, 'check' | 'args'> => {
    if (typeof written !== 'string') {
      const [check, args] = (Object.entries(written) as [string, unknown][])[0] ?? ['sql', null];
      return { check, args };
    }
    return written === 'not_null' || written === 'unique' ? { check: written, args: null } : { check: 'sql', args: written };
  });

/** `check` is `not_null`, `unique`, a named check with its arguments, or any SQL condition over the columns. */
export const ruleSchema = z
  .strictObject({
    column: nameSchema.optional(),
    check: checkSchema,
    otherwise: z.enum(['reject', 'quarantine', 'null', 'stop']).default('quarantine'),
  })
  .refine((rule) => rule.column !== undefined || rule.check.check === 'sql', {
    error: 'This check needs a column; Add column: NAME.',
    path: ['column'],
  })
  .refine((rule) => rule.column !== undefined || rule.otherwise !== 'null', {
    error: 'Without a column nothing can become NULL; Add column: NAME, or write otherwise: quarantine.',
    path: ['otherwise'],
  })
  .transform((rule): Rule => ({ column: rule.column ?? null, ...rule.check, otherwise: rule.otherwise }));

const applySchema = z.enum(['soft', 'hard']).default('soft');

export const deletesSchema = z
  .discriminatedUnion('detect', [
    z.strictObject({
      detect: z.literal('tombstone').meta({ description: 'A column says that a row is deleted.' }),
      column: nameSchema,
      is: comparedValueSchema.meta({ description: 'The value that means deleted.' }),
      apply: applySchema,
    }),
    z.strictObject({
      detect: z.literal('scan').meta({ description: 'All keys of source and target are compared.' }),
      every: durationSchema.optional().meta({ description: 'Left out: only by `sync --detect-deletes`.' }),
      apply: applySchema,
    }),
  ], { error: 'This way to find deletes is unknown; Write detect: scan or detect: tombstone.' })
  .transform((deletes): Deletes =>
    deletes.detect === 'tombstone' ? deletes : { detect: 'scan', everySeconds: deletes.every ?? null, apply: deletes.apply },
  );

export const retentionSchema = z.strictObject(
  { column: nameSchema, keep: periodSchema },
  { error: (issue) => (issue.code === 'invalid_type' ? 'A period alone does not say of which column; Write for example { column: CREATED_AT, keep: 7 years }.' : undefined) },
);
