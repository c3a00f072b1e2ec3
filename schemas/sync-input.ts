import { z } from 'zod';

/** The one JSON object that starts `syncSource`: everything but the source has a default, so `{"source":"hq"}` in Temporal's UI is enough. */
export const syncInputSchema = z.strictObject({
  source: z.string().min(1).describe('Id of the source as applied'),
  streams: z.array(z.string().min(1)).nullable().default(null).describe('Names of streams; null: all'),
  full: z.boolean().default(false).describe('Build a new generation of each'),
  detectDeletes: z.boolean().default(false).describe('Scan for deleted rows now, in the streams that have deletes: scan'),
  trigger: z.enum(['manual', 'schedule', 'window']).default('manual'),
  /** For a window: it polls every `everySeconds` until the next multiple of `windowSeconds` since the epoch. */
  windowSeconds: z.number().int().positive().nullable().default(null),
  everySeconds: z.number().int().positive().nullable().default(null),
});

export type SyncInput = z.input<typeof syncInputSchema>;
export type SyncRequest = z.output<typeof syncInputSchema>;
