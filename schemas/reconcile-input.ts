import { z } from 'zod';

/** The one JSON object that starts `reconcileSource`: `{"source":"hq"}` typed into Temporal's UI compares all of its streams. */
export const reconcileInputSchema = z.strictObject({
  source: z.string().min(1).describe('Id of the source as applied'),
  streams: z.array(z.string().min(1)).nullable().default(null).describe('Names of streams; null: all'),
  repair: z.boolean().default(false).describe('Copy again what differs'),
  trigger: z.enum(['manual', 'schedule']).default('manual').describe('Who asked: a schedule passes over streams that it is not to compare'),
});

export type ReconcileInput = z.input<typeof reconcileInputSchema>;
export type ReconcileRequest = z.output<typeof reconcileInputSchema>;
