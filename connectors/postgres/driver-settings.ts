/** What the driver is told: typed fields, TLS by the one policy, and every value as the server's own text. */
import type { Socket } from 'node:net';
import type pg from 'pg';
import type { SessionOptions } from '../connector.ts';
import { nodeTlsOptions, tlsModeOf } from '../tls.ts';
import type { PostgresConnection } from './connection.ts';

const KEEP_ALIVE_DELAY_MS = 10_000;

/** Null: the connection is not encrypted. */
export function tlsOf(connection: PostgresConnection) {
  // `host` is what the certificate is checked against: the driver hands over a socket that is already connected.
  return nodeTlsOptions(tlsModeOf(connection.tls, [connection.host]), connection.host, connection.tls?.ca) ?? null;
}

export function driverSettings(connection: PostgresConnection, options: SessionOptions, socket: Socket): pg.ClientConfig {
  return {
    host: connection.host,
    port: connection.port,
    database: connection.database,
    user: connection.user,
    // A function, so that the driver neither keeps the password in its settings nor looks for one in the environment.
    password: () => connection.password ?? '',
    ssl: tlsOf(connection) ?? false,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    stream: () => socket,
    // Every value stays the server's text.
    types: { getTypeParser: () => (value: string | Buffer) => value },
  };
}
