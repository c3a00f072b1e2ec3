/** The port is asked before the driver is: the driver takes seconds and has one code for whatever keeps it from connecting. */
import { connect, isIP } from 'node:net';
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
    const socket = tls === null ? connect({ host, port }) : connectTls({ ...tls, port, ...(isIP(host) === 0 ? { servername: host } : {}) });
    let settled = false;
    let connected = false;
    const settle = (error: TidemarkError | null): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
      socket.on('error', () => undefined);
      // Node crashes where a TLS socket is destroyed within the event that says it is ready.
      setImmediate(() => socket.destroy());
      if (error === null) resolve();
      else reject(error);
    };
    const timer = setTimeout(() => settle(fromProbe(null, host, port)), options.connectTimeoutMs);
    const onAbort = (): void => settle(cancelled());
    options.signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => {
      connected = true;
      if (tls === null) settle(null);
    });
    socket.once('secureConnect', () => settle(null));
    // A server without TLS hangs up, or says so in its own protocol.
    socket.once('close', () => settle(tlsError('no_tls', where)));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? 'unknown';
      settle(connected ? tlsError(tlsFaultOf(code) ?? 'no_tls', where, error) : fromProbe(code, host, port));
    });
    if (options.signal.aborted) onAbort();
  });
}
