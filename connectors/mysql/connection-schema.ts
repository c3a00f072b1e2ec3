import { z } from 'zod';

const tlsSchema = z.strictObject({
  /** `disable`: clear text. `require`: encrypted, any certificate. `verify-full`: encrypted, certificate and host name checked. */
  mode: z.enum(['disable', 'require', 'verify-full']),
  /** PEM text of the certificate authority; without it those of the system are trusted. */
  ca: z.string().min(1).optional(),
});

/** Typed fields only: a URL or a free options text would let a file switch on what this connector keeps off (local files, for one). */
export const connectionSchema = z.strictObject({
  host: z.string().min(1),
  port: z.number().int().min(1).max(65_535).default(3306),
  database: z.string().min(1),
  user: z.string().min(1),
  password: z.string().default(''),
  tls: tlsSchema.default({ mode: 'disable' }),
});

export type MysqlConnection = z.infer<typeof connectionSchema>;
