/**
 * The one TLS policy of all connectors (docs/adr/0008). A connection that says nothing crosses no network in clear text: it is plain
 * on this machine and `verify-full` to every other one. Nothing falls back to a weaker mode; plain text to another machine has to be
 * written in the file.
 */
import type { ConnectionOptions } from 'node:tls';
import { z } from 'zod';
import { TidemarkError } from '../schemas/errors.ts';

export const TLS_MODES = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
export type TlsMode = (typeof TLS_MODES)[number];

const MODES =
  'disable: plain text. require: encrypted, whoever answers. verify-ca: the certificate comes from a known authority. ' +
  'verify-full: and names the host. Default: verify-full; without tls: plain text on this machine, verify-full to every other';

/** Fields of `tls:` that every connector has. */
export const tlsFields = {
  mode: z.enum(TLS_MODES).optional().describe(MODES),
  ca: z
    .string()
    .regex(/-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----/, 'the PEM text of certificates; Write the text itself or a variable that holds it, not the name of a file.')
    .optional()
    .describe("PEM text of the certificate authority, checked in every mode but disable; default: the system's public authorities"),
};

export const tlsSchema = z.strictObject(tlsFields);

export interface TlsChoice {
  readonly mode?: TlsMode;
  readonly ca?: string;
}

/** No network is crossed: a Unix socket's folder, or a loopback address. */
export function isThisMachine(host: string): boolean {
  return host.startsWith('/') || host.toLowerCase() === 'localhost' || host === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/i.test(host);
}

/** What a connection to these hosts does. `require` with a `ca` checks the certificate against it. */
export function tlsModeOf(tls: TlsChoice | undefined, hosts: readonly string[]): TlsMode {
  if (tls === undefined) return hosts.every(isThisMachine) ? 'disable' : 'verify-full';
  const mode = tls.mode ?? 'verify-full';
  return mode === 'require' && tls.ca !== undefined ? 'verify-ca' : mode;
}

/** For `tls.connect`, or a driver that hands its settings to it; null in clear text. */
export function nodeTlsOptions(mode: TlsMode, host: string, ca: string | undefined): ConnectionOptions | null {
  if (mode === 'disable') return null;
  return {
    host,
    minVersion: 'TLSv1.2',
    rejectUnauthorized: mode !== 'require',
    ...(ca === undefined ? {} : { ca }),
    ...(mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  };
}

/** What went wrong between two ends that meant to speak TLS. */
export type TlsFault = 'no_tls' | 'unknown_authority' | 'wrong_host' | 'expired' | 'not_yet_valid' | 'revoked' | 'handshake';

const AUTHORITY_CODES = [
  'SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_SIGNATURE_FAILURE', 'CERT_UNTRUSTED', 'INVALID_CA', 'CERT_CHAIN_TOO_LONG',
];

const FAULTS: Readonly<Record<string, TlsFault>> = {
  ...Object.fromEntries(AUTHORITY_CODES.map((code) => [code, 'unknown_authority' as const])),
  ERR_TLS_CERT_ALTNAME_INVALID: 'wrong_host',
  ERR_TLS_CERT_ALTNAME_FORMAT: 'wrong_host',
  HOSTNAME_MISMATCH: 'wrong_host',
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not_yet_valid',
  CERT_REVOKED: 'revoked',
  // What answers in clear text where TLS was asked for.
  ERR_SSL_WRONG_VERSION_NUMBER: 'no_tls',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'no_tls',
};

/** By the code of Node or OpenSSL; null where the code is about something else. */
export function tlsFaultOf(code: string): TlsFault | null {
  if (Object.hasOwn(FAULTS, code)) return FAULTS[code] ?? null;
  return /^(ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO$|CERT_|UNABLE_TO_)/.test(code) ? 'handshake' : null;
}

interface Words {
  readonly message: string;
  readonly hint: string;
}

const PLAIN_HINT =
  'Switch TLS on at the server (or give the port that speaks it). If it has none and the network may see the rows, allow plain text in the file: connection: { ..., tls: { mode: disable } }. ' +
  'Without tls: every host but this machine is verified.';

const WORDS: Readonly<Record<TlsFault, Words>> = {
  no_tls: { message: 'The server does not offer TLS.', hint: PLAIN_HINT },
  unknown_authority: {
    message: "The server's certificate comes from an unknown authority.",
    hint: 'Put the PEM text of the authority that signed it into connection.tls.ca; tls: { mode: require } encrypts without asking who answers.',
  },
  wrong_host: {
    message: "The server's certificate does not name this host.",
    hint: 'Write into connection.host a name (or address) that stands in the certificate; tls: { mode: verify-ca } checks the authority only.',
  },
  expired: { message: "The server's certificate has expired.", hint: 'Renew it at the server.' },
  not_yet_valid: { message: "The server's certificate is not valid yet.", hint: 'Check the clocks of both machines and the dates of the certificate.' },
  revoked: { message: "The server's certificate was revoked.", hint: 'Renew it at the server, and find out why.' },
  handshake: { message: 'The TLS handshake failed.', hint: 'The server must speak TLS 1.2 or later, and connection.tls.ca must be the text of valid certificates.' },
};

/** `where` is `host:port`; `hint` where the connector's own settings are others. */
export function tlsError(fault: TlsFault, where: string, cause?: unknown, hint: string = WORDS[fault].hint): TidemarkError {
  return new TidemarkError('source.tls_failed', `${where}: ${WORDS[fault].message}`, { hint, cause });
}
