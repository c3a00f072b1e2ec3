/** The port is asked before the driver is: the driver takes seconds and has one code for whatever keeps it from connecting. */
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TidemarkError } from '../../schemas/errors.ts';
import type { SessionOptions } from '../connector.ts';
import { nodeTlsOptions, tlsError, tlsFaultOf } from '../tls.ts';
import { modeOf, type Db2Connection } from './connection.ts';
import { cancelled, fromProbe } from './errors.ts';

/**
 * Resolves where something answers at the port, and with TLS where its certificate passes the connection's mode. Bounded by the
 * connect timeout.
 */
export function probe(connection: Db2Connection, options: SessionOptions): Promise<void> {
  const { host, port } = connection;
  const tls = nodeTlsOptions(modeOf(connection), host, connection.tls?.ca);
  const where = `${host}:${port}`;
  return new Promise((resolve, reject) => {
    const open: Socket[] = [connect({ host, port })];
    const settle = (error: TidemarkError | null): void => {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
      for (const socket of open) socket.destroy();
      if (error === null) resolve();
      else reject(error);
    };
    const timer = setTimeout(() => settle(fromProbe(null, host, port)), options.connectTimeoutMs);
    const onAbort = (): void => settle(cancelled());
    options.signal.addEventListener('abort', onAbort, { once: true });
    const secure = (socket: Socket): void => {
      const encrypted = connectTls({ ...tls, socket, ...(isIP(host) === 0 ? { servername: host } : {}) });
      open.push(encrypted);
      encrypted.once('secureConnect', () => settle(null));
      // A server without TLS hangs up, or says so in its own protocol.
      encrypted.once('close', () => settle(tlsError('no_tls', where)));
      encrypted.once('error', (error: NodeJS.ErrnoException) => settle(tlsError(tlsFaultOf(error.code ?? '') ?? 'no_tls', where, error)));
    };
    const [socket] = open as [Socket];
    socket.once('connect', () => {
      socket.removeAllListeners('error').on('error', () => undefined);
      if (tls === null) settle(null);
      else secure(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => settle(fromProbe(error.code ?? 'unknown', host, port)));
    if (options.signal.aborted) onAbort();
  });
}
