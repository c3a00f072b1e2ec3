import { z } from 'zod';

/** How the connection is protected. Nothing falls back to a weaker mode by itself. */
export const TLS_MODES = ['disable', 'require', 'verify-full'] as const;

const identifier = z.string().min(1).max(63);

/** `connection:` of a PostgreSQL source: typed fields only, so that no text can override a host or switch a check off. */
export const connectionSchema = z.strictObject({
  host: z.string().min(1).describe('Host name, address, or the folder of a Unix socket'),
  port: z.coerce.number().int().min(1).max(65_535).default(5432),
  database: identifier,
  user: identifier,
  password: z.string().optional().describe('Leave out where the server trusts the user or checks the peer'),
  schema: identifier.optional().describe("Searched first for tables named without a schema; default: the user's search_path"),
  tls: z
    .strictObject({
      mode: z
        .enum(TLS_MODES)
        .describe('verify-full checks the certificate and the host name; require only encrypts; default: disable on this machine, verify-full elsewhere'),
      ca: z.string().min(1).optional().describe('PEM text of the certificate authority'),
    })
    .optional(),
});

export type PostgresConnection = z.infer<typeof connectionSchema>;

export type TlsMode = (typeof TLS_MODES)[number];

/** `disable` where no network is crossed, else `verify-full`. */
export function tlsModeOf(connection: PostgresConnection): TlsMode {
  return connection.tls?.mode ?? (isThisMachine(connection.host) ? 'disable' : 'verify-full');
}

function isThisMachine(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
