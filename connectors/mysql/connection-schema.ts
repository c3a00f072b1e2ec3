import { z } from 'zod';
import { tlsSchema } from '../tls.ts';

/** Typed fields only: a URL or a free options text would let a file switch on what this connector keeps off (local files, for one). */
export const connectionSchema = z.strictObject({
  host: z.string().min(1),
  port: z.number().int().min(1).max(65_535).default(3306),
  database: z.string().min(1),
  user: z.string().min(1),
  password: z.string().default(''),
  tls: tlsSchema.optional(),
  replica: z
    .boolean()
    .optional()
    .describe('true: only a server that takes no writes is read (read_only is on there), so that a fail-over never puts this load on the primary. Rows arrive there by replication: the promise holds within overlap'),
});

export type MysqlConnection = z.infer<typeof connectionSchema>;
