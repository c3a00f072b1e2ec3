import { z } from 'zod';
import { tlsFields, tlsModeOf, type TlsMode } from '../tls.ts';

/**
 * Fields of a connection string can't be quoted for this driver, so each field is checked against what may stand in it:
 * a `;` anywhere would start another keyword.
 */
const host = z
  .string()
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._:-]{0,252}[A-Za-z0-9])?$/, 'a host name or an address, nothing else')
  .describe('Host name or address of the server');
const name = (what: string, longest: number) =>
  z.string().regex(new RegExp(`^[A-Za-z0-9@#$_.-]{1,${longest}}$`), `${what}: letters, digits and @ # $ _ . - only`);
// Every control, format and separator character is left out: some of them end a keyword for the driver.
const user = z.string().regex(/^[^\p{C}\p{Z};={}"']{1,128}$/u, 'a user name without ; = { } quotes or spaces');
const password = z
  .string()
  .regex(/^[^\p{C};\u2028\u2029]{1,255}$/u, 'a password without ; or control characters: the driver has no way to take them')
  .refine((text) => text.trim() === text, 'a password without spaces at its ends: the driver drops them');
const pem = z.string().regex(/^-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=-]+-----END CERTIFICATE-----\s*$/, 'the PEM text of certificates');

/** `connection:` of a Db2 source: typed fields only. */
export const connectionSchema = z.strictObject({
  host,
  port: z.coerce.number().int().min(1).max(65_535).default(50_000),
  database: name('database name', 64).describe('Database name or alias, as the server knows it'),
  user,
  password,
  schema: name('schema name', 128).optional().describe('Current schema: where tables named without a schema are looked for; default: the user'),
  authentication: z
    .enum(['server', 'server_encrypt'])
    .optional()
    .describe('How the password travels; default: as client and server agree. Use TLS, or at least server_encrypt'),
  tls: z
    .strictObject({ ...tlsFields, ca: pem.optional().describe('PEM text of the server certificate or its authority; default: the authorities that the driver knows') })
    .optional()
    .describe('The driver has no mode that checks no certificate: require is verify-ca here'),
});

export type Db2Connection = z.infer<typeof connectionSchema>;

/** What this connection does; `require` checks the certificate too, since the driver knows no less. */
export function modeOf({ tls, host: name }: Db2Connection): TlsMode {
  const mode = tlsModeOf(tls, [name]);
  return mode === 'require' ? 'verify-ca' : mode;
}

export interface StringOptions {
  readonly applicationName: string;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
  /** File with the PEM text of `tls.ca`, if there is one. */
  readonly caFile: string | null;
}

/** What may stand in a keyword that only names us. */
function label(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9 _.-]/g, '_').slice(0, 128);
}

/** Bytes that the server sends for one request of the driver; its default of 64 KiB costs more round trips. */
const FETCH_BUFFER_BYTES = 256 * 1024;

const seconds = (ms: number): string => String(Math.max(1, Math.ceil(ms / 1000)));

function tlsKeywords(connection: Db2Connection, caFile: string | null): string[] {
  const mode = modeOf(connection);
  if (mode === 'disable') return [];
  return [
    'Security=SSL',
    ...(caFile === null ? [] : [`SSLServerCertificate=${caFile}`]),
    `SSLClientHostnameValidation=${mode === 'verify-full' ? 'Basic' : 'Off'}`,
  ];
}

/**
 * The driver's connection string, of a connection that {@link connectionSchema} has passed. `ReadOnlyConnection` makes the driver
 * refuse anything but queries.
 */
export function connectionString(connection: Db2Connection, options: StringOptions): string {
  if (options.caFile !== null && /[;{}"'\p{C}]/u.test(options.caFile)) throw new Error('The temporary folder has a name that a connection string cannot hold.');
  return [
    `DATABASE=${connection.database}`,
    `HOSTNAME=${connection.host}`,
    `PORT=${connection.port}`,
    'PROTOCOL=TCPIP',
    `UID=${connection.user}`,
    `PWD=${connection.password}`,
    ...(connection.authentication === undefined ? [] : [`Authentication=${connection.authentication.toUpperCase()}`]),
    ...tlsKeywords(connection, options.caFile),
    ...(connection.schema === undefined ? [] : [`CurrentSchema=${connection.schema}`]),
    'ReadOnlyConnection=1',
    'TxnIsolation=2',
    `FetchBufferSize=${FETCH_BUFFER_BYTES}`,
    `ConnectTimeout=${seconds(options.connectTimeoutMs)}`,
    `ClientApplName=${label(options.applicationName)}`,
    `ProgramName=${label(options.applicationName).slice(0, 80)}`,
    '',
  ].join(';');
}
