/** TLS as mysql2 does it, under the policy of all connectors. */
import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, TLSSocket } from 'node:tls';
import type mysql from 'mysql2';
import type { TidemarkError } from '../../schemas/errors.ts';
import { tlsError, tlsFaultOf, tlsModeOf } from '../tls.ts';
import { asTidemarkError } from './errors.ts';
import type { MysqlConnection } from './connection-schema.ts';

const modeOf = ({ tls, host }: MysqlConnection) => tlsModeOf(tls, [host]);

/** What mysql2 takes under `ssl`; undefined in clear text. A server that offers no TLS is then refused, never spoken to without. */
export function driverTls(connection: MysqlConnection): mysql.SslOptions | undefined {
  const mode = modeOf(connection);
  if (mode === 'disable') return undefined;
  const ca = connection.tls?.ca;
  return { rejectUnauthorized: mode !== 'require', verifyIdentity: mode === 'verify-full', minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) };
}

const verifiesAddress = (connection: MysqlConnection): boolean => modeOf(connection) === 'verify-full' && isIP(connection.host) !== 0;

/**
 * mysql2 names no host to Node where it is an address (SNI forbids it); Node then takes the name that the socket was opened for. Without this
 * it would look for `localhost` in the certificate. To be called before the server's greeting arrives.
 */
export function nameAddress(socket: Socket, connection: MysqlConnection): void {
  if (verifiesAddress(connection)) Object.defineProperty(socket, '_host', { value: connection.host, configurable: true, writable: true });
}

/** Throws where the certificate does not name the address that was asked for: the last word, whatever Node compared with. */
export function assertIdentity(socket: Socket, connection: MysqlConnection): void {
  if (!verifiesAddress(connection)) return;
  const where = `${connection.host}:${connection.port}`;
  if (!(socket instanceof TLSSocket)) throw tlsError('no_tls', where);
  const mismatch = checkServerIdentity(connection.host, socket.getPeerCertificate(true));
  if (mismatch !== undefined) throw tlsError('wrong_host', where, mismatch);
}

/** Why a connection was not made. mysql2 puts one code over all TLS failures; the socket keeps the reason. */
export function connectError(error: unknown, socket: Socket, where: string): TidemarkError {
  const code = codeOf(error);
  if (code === 'HANDSHAKE_NO_SSL_SUPPORT') return tlsError('no_tls', where, error);
  if (code !== 'HANDSHAKE_SSL_ERROR') return asTidemarkError(error, where);
  // Node's types have an Error here; it is the reason's code.
  const reason: unknown = socket instanceof TLSSocket ? socket.authorizationError : null;
  return tlsError((typeof reason === 'string' ? tlsFaultOf(reason) : null) ?? 'handshake', where, error);
}

function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}
