import { TidemarkError, type ErrorCode } from '../../schemas/errors.ts';
import { tlsError, tlsFaultOf, type TlsFault } from '../tls.ts';

interface Meaning {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

const VALUE_MISFIT: Meaning = {
  code: 'source.schema_changed',
  message: 'A stored position does not fit the type of the column any more.',
  hint: 'Run `tidemark plan` to see how the table changed.',
};

/** What a SQLSTATE means here. Server texts are never passed on: they may quote values. */
const SQLSTATES: Readonly<Record<string, Meaning>> = {
  '28P01': { code: 'source.auth_failed', message: 'The server refused the user name or password.', hint: 'Check connection.user and connection.password.' },
  '28000': {
    code: 'source.auth_failed',
    message: 'The server does not let this user in from this host.',
    hint: 'Check the role (LOGIN), pg_hba.conf, and connection.tls: the server may only accept encrypted sessions.',
  },
  '3D000': { code: 'source.database_missing', message: 'The database does not exist.', hint: 'Check connection.database.' },
  '42P01': { code: 'source.table_missing', message: 'A table no longer exists.', hint: 'Check the table name with `tidemark discover`.' },
  '3F000': { code: 'source.table_missing', message: 'A schema no longer exists.', hint: 'Check the table name with `tidemark discover`.' },
  '42501': {
    code: 'source.privilege_missing',
    message: 'The user may not read this table, or a row security policy would hide rows from it.',
    hint: 'Grant SELECT on the table; where it has row security, use its owner or a role with BYPASSRLS.',
  },
  '42703': { code: 'source.column_missing', message: 'A column no longer exists.', hint: 'Run `tidemark plan` to see how the table changed.' },
  '57014': {
    code: 'source.statement_timeout',
    message: 'The server cancelled the statement: it ran into its time limit.',
    hint: 'Raise statement_timeout, lower batch_rows (a build that has begun keeps its parts; sync --full begins anew), or give the cursor column an index.',
  },
  '55P03': { code: 'source.statement_timeout', message: 'A lock on the table was not free in time.', hint: 'Look for long DDL at the source.' },
  '25P03': { code: 'source.connection_lost', message: 'The server ended the session: it was idle in a transaction for too long.' },
  '57P01': { code: 'source.connection_lost', message: 'The server ended the session.', hint: 'An administrator or a shutdown ended it.' },
  '57P02': { code: 'source.connection_lost', message: 'The server ended all sessions after a crash.' },
  '57P03': { code: 'source.unreachable', message: 'The server is starting up or shutting down.' },
  '57P04': { code: 'source.database_missing', message: 'The database was dropped.' },
  '57P05': { code: 'source.connection_lost', message: 'The server ended the idle session.' },
  '40001': { code: 'source.read_interrupted', message: 'The read conflicted with recovery or another transaction.', hint: 'On a standby: raise max_standby_streaming_delay or set hot_standby_feedback.' },
  '40P01': { code: 'source.read_interrupted', message: 'The read was chosen as the victim of a deadlock.' },
  '53300': { code: 'source.too_many_connections', message: 'The server has no connection left for this user.', hint: 'Lower sessions_max or raise max_connections.' },
  '53400': { code: 'source.read_interrupted', message: 'A limit of the server was reached.' },
  '25006': { code: 'source.query_failed', message: 'The statement would have to write, and the session is read-only.', hint: 'Does a view call a function that writes?' },
  '0A000': { code: 'source.query_failed', message: 'The server does not support the statement.' },
  '22P02': VALUE_MISFIT,
  '22003': VALUE_MISFIT,
  '22007': VALUE_MISFIT,
  '22008': VALUE_MISFIT,
  '42804': { code: 'source.schema_changed', message: 'A column changed its type.', hint: 'Run `tidemark plan` to see how the table changed.' },
  '42883': { code: 'source.cursor_unusable', message: 'A column of the cursor or key has a type without an order.', hint: 'Choose another cursor or key.' },
};

const SQLSTATE_CLASSES: Readonly<Record<string, Meaning>> = {
  '08': { code: 'source.connection_lost', message: 'The connection to the server broke.' },
  '28': { code: 'source.auth_failed', message: 'The server refused the user.' },
  '53': { code: 'source.read_interrupted', message: 'The server ran out of a resource (disk, memory or connections).' },
  '58': { code: 'source.read_interrupted', message: 'The server had a system error.' },
  XX: { code: 'source.query_failed', message: 'The server reported an internal error.', hint: 'See the log of the server.' },
};

const SOCKET_CODES: Readonly<Record<string, Meaning>> = {
  ECONNREFUSED: { code: 'source.unreachable', message: 'Nothing listens there.', hint: 'Check connection.host and connection.port, and that the server is up.' },
  ENOENT: { code: 'source.unreachable', message: 'There is no such socket.', hint: 'Check connection.host and connection.port.' },
  EHOSTUNREACH: { code: 'source.unreachable', message: 'There is no route to the host.' },
  ENETUNREACH: { code: 'source.unreachable', message: 'There is no route to the network.' },
  ETIMEDOUT: { code: 'source.unreachable', message: 'The host did not answer in time.', hint: 'Check connection.host, connection.port and the firewall.' },
  ENOTFOUND: { code: 'source.host_unknown', message: 'The host name is unknown.', hint: 'Check connection.host.' },
  EAI_AGAIN: { code: 'source.host_unknown', message: 'The host name could not be looked up now.', hint: 'Check connection.host and the name server.' },
  ECONNRESET: { code: 'source.connection_lost', message: 'The connection to the server broke.' },
  EPIPE: { code: 'source.connection_lost', message: 'The connection to the server broke.' },
};

/** What the driver says without a code where the server has no TLS, or answers something else. */
const TLS_TEXTS: readonly (readonly [RegExp, TlsFault])[] = [[/does not support SSL/, 'no_tls'], [/SSL connection|SSL\/TLS/, 'handshake']];

/** Errors of the driver's own that carry no code; told apart by their fixed texts. */
const DRIVER_TEXTS: readonly (readonly [RegExp, Meaning])[] = [
  [/timeout expired|timeout exceeded/, SOCKET_CODES.ETIMEDOUT as Meaning],
  [/^SASL|password must be a string/i, SQLSTATES['28P01'] as Meaning],
  [/authentication/i, { code: 'source.auth_failed', message: 'The server asks for a way of authentication that is not supported.' }],
  [/Connection terminated|not queryable|connection error|Connection ended|closed/i, { code: 'source.connection_lost', message: 'The connection to the server broke.' }],
];

/**
 * The {@link TidemarkError} for an error of the driver; `where` names what was tried (`table sales.orders`, `host:port`).
 * A TidemarkError passes through. Only the SQLSTATE is taken from a server's message.
 */
export function toTidemarkError(error: unknown, where: string): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const fault = faultOf(error);
  if (fault !== null) return tlsError(fault, where, error);
  const meaning = meaningOf(error);
  return new TidemarkError(meaning.code, `${where}: ${meaning.message}`, { hint: meaning.hint, cause: error });
}

function faultOf(error: unknown): TlsFault | null {
  const code = codeOf(error);
  if (code !== '') return tlsFaultOf(code);
  const text = error instanceof Error ? error.message : '';
  return TLS_TEXTS.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}

function meaningOf(error: unknown): Meaning {
  const code = codeOf(error);
  const known = SQLSTATES[code] ?? SOCKET_CODES[code];
  if (known) return known;
  if (/^[0-9A-Z]{5}$/.test(code)) {
    return SQLSTATE_CLASSES[code.slice(0, 2)] ?? { code: 'source.query_failed', message: `The statement failed with SQLSTATE ${code}.` };
  }
  const text = error instanceof Error ? error.message : '';
  return DRIVER_TEXTS.find(([pattern]) => pattern.test(text))?.[1] ?? { code: 'source.query_failed', message: 'The driver failed in an unexpected way.' };
}

function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}
