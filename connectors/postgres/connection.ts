import { z } from 'zod';
import { tlsSchema } from '../tls.ts';

const identifier = z.string().min(1).max(63);

/** `connection:` of a PostgreSQL source: typed fields only, so that no text can override a host or switch a check off. */
export const connectionSchema = z.strictObject({
  host: z.string().min(1).describe('Host name, address, or the folder of a Unix socket'),
  port: z.coerce.number().int().min(1).max(65_535).default(5432),
  database: identifier,
  user: identifier,
  password: z.string().optional().describe('Leave out where the server trusts the user or checks the peer'),
  schema: identifier.optional().describe("Searched first for tables named without a schema; default: the user's search_path"),
  tls: tlsSchema.optional(),
});

export type PostgresConnection = z.infer<typeof connectionSchema>;
