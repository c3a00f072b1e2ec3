import { z } from 'zod';
import { tlsFields, tlsModeOf, type TlsChoice, type TlsMode } from '../tls.ts';
import type { SessionOptions } from '../connector.ts';
import type { OracleConnectionAttributes } from './driver.ts';

/**
 * Each text that goes into the connect descriptor admits only what such a name may hold: no parenthesis, quote, equals sign
 * or line break can turn one field into another.
 */
const host = z.string().regex(/^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|[0-9A-Fa-f:]{2,39})$/, 'a host name or an address');
const port = z.number().int().min(1).max(65_535);
const serviceName = z.string().regex(/^[A-Za-z][A-Za-z0-9_.$#-]{0,254}$/, 'a service name: letters, digits, _ . $ # -');
const sid = z.string().regex(/^[A-Za-z][A-Za-z0-9_$#]{0,63}$/, 'a SID: letters, digits, _ $ #');
const distinguishedName = z.string().max(1024).regex(/^[A-Za-z]+=[\p{L}\p{N} .:@_-]+(?:, ?[A-Za-z]+=[\p{L}\p{N} .:@_-]+)*$/u, 'a distinguished name: CN=…,O=…');

const AUTHORITIES = 'The driver knows the public authorities, those of its wallet, and those of NODE_EXTRA_CA_CERTS in the environment of the workers';
const tls = z.strictObject({
  mode: tlsFields.mode,
  ca: z.never({ error: `${AUTHORITIES}` }).optional().describe(AUTHORITIES),
  server_dn: distinguishedName.optional().describe('Distinguished name that the certificate must have; default: the host name is checked'),
}).describe('TCPS. The driver has no mode that checks no certificate: require is verify-ca here');

/** `connection:` of an Oracle source: typed fields only; the descriptor is built from them, never taken as text. */
export const connectionSchema = z
  .strictObject({
    host: host.optional(),
    port: port.default(1521),
    addresses: z.array(z.strictObject({ host, port: port.default(1521) })).min(1).max(16).optional().describe('Instead of host and port: tried in this order (RAC nodes, a standby)'),
    service_name: serviceName.optional(),
    sid: sid.optional(),
    user: z.string().min(1).max(256),
    password: z.string().min(1),
    schema: z.string().min(1).max(128).optional().describe("Where tables named without a schema are looked for; exactly as the catalog has it; default: the user's own"),
    snapshot: z.enum(['scn', 'transaction']).optional().describe('What the statements of one read share: AS OF SCN, which needs FLASHBACK on the tables, or a READ ONLY transaction; default: scn where the user may, else transaction'),
    tls: tls.optional(),
    wallet: z.string().min(1).optional().describe('PEM text: certificate authorities, and the client certificate with its key where the server asks for one (the content of ewallet.pem)'),
    wallet_password: z.string().min(1).optional().describe("Password of the wallet's private key"),
  })
  .refine((value) => (value.host === undefined) !== (value.addresses === undefined), { path: ['host'], message: 'give either host or addresses' })
  .refine((value) => (value.service_name === undefined) !== (value.sid === undefined), { path: ['service_name'], message: 'give either service_name or sid' })
  .refine((value) => value.wallet === undefined || value.tls?.mode !== 'disable', { path: ['wallet'], message: 'a wallet is used with TLS only' })
  .refine((value) => value.wallet === undefined || /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(value.wallet), {
    path: ['wallet'],
    message: 'the driver takes a wallet with a private key only; for an authority alone set NODE_EXTRA_CA_CERTS in the environment of the workers',
  })
  .refine((value) => value.tls?.server_dn === undefined || modeOf(value) === 'verify-full', { path: ['tls', 'server_dn'], message: 'server_dn is checked with mode: verify-full only' });

export type OracleSettings = z.infer<typeof connectionSchema>;

interface Reached {
  readonly tls?: TlsChoice;
  readonly host?: string;
  readonly addresses?: readonly { readonly host: string }[];
  readonly wallet?: string;
}

/** What this connection does; `require` checks the certificate too, since the driver knows no less. A wallet asks for TLS, on this machine too. */
function modeOf(value: Reached): TlsMode {
  const hosts = (value.addresses ?? [{ host: value.host ?? '' }]).map((address) => address.host);
  const mode = tlsModeOf(value.tls ?? (value.wallet === undefined ? undefined : {}), hosts);
  return mode === 'require' ? 'verify-ca' : mode;
}

/** `host:port` of the first address, for messages. */
export function addressOf(settings: OracleSettings): string {
  const { host: name, port: number } = addressesOf(settings)[0] as { host: string; port: number };
  return `${name}:${number}`;
}

function addressesOf(settings: OracleSettings): readonly { readonly host: string; readonly port: number }[] {
  return settings.addresses ?? [{ host: settings.host as string, port: settings.port }];
}

/** The connect descriptor, in the grammar of Oracle's Net Services reference. */
export function descriptorOf(settings: OracleSettings): string {
  const mode = modeOf(settings);
  const secure = mode !== 'disable';
  const addresses = addressesOf(settings).map((address) => `(ADDRESS=(PROTOCOL=${secure ? 'tcps' : 'tcp'})(HOST=${address.host})(PORT=${address.port}))`);
  const list = addresses.length === 1 ? addresses.join('') : `(ADDRESS_LIST=(LOAD_BALANCE=off)(FAILOVER=on)${addresses.join('')})`;
  const database = settings.sid === undefined ? `(SERVICE_NAME=${settings.service_name})` : `(SID=${settings.sid})`;
  const named = settings.tls?.server_dn === undefined ? '' : `(SSL_SERVER_CERT_DN="${settings.tls.server_dn}")`;
  const security = secure ? `(SECURITY=(SSL_SERVER_DN_MATCH=${mode === 'verify-full' ? 'yes' : 'no'})${named})` : '';
  return `(DESCRIPTION=${list}(CONNECT_DATA=${database})${security})`;
}

/** What the driver is given. */
export function attributesOf(settings: OracleSettings, options: Pick<SessionOptions, 'connectTimeoutMs'>): OracleConnectionAttributes {
  const seconds = Math.max(1, Math.ceil(options.connectTimeoutMs / 1000));
  const { wallet_password: walletPassword } = settings;
  const mode = modeOf(settings);
  const { wallet } = settings;
  return {
    user: settings.user,
    password: settings.password,
    connectString: descriptorOf(settings),
    connectTimeout: seconds,
    transportConnectTimeout: seconds,
    expireTime: 1,
    program: 'tidemark',
    ...(mode === 'disable' ? {} : { sslServerDNMatch: mode === 'verify-full' }),
    ...(wallet === undefined ? {} : { walletContent: wallet }),
    ...(walletPassword === undefined ? {} : { walletPassword }),
  };
}
