/** From mysql2's and the server's error codes to ours. Server messages quote values, so none of them is repeated. */
import { TidemarkError, type ErrorCode } from '../../schemas/errors.ts';

interface Meaning {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

const UNREACHABLE_HINT = 'Check host, port and firewall, and that the server runs.';

/** Keys are `err.code`: the system's or mysql2's words, or the server's symbol for its number. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ECONNREFUSED: { code: 'source.unreachable', message: 'The server refused the connection', hint: UNREACHABLE_HINT },
  ETIMEDOUT: { code: 'source.unreachable', message: 'The server did not answer in time', hint: UNREACHABLE_HINT },
  EHOSTUNREACH: { code: 'source.unreachable', message: 'There is no route to the server', hint: UNREACHABLE_HINT },
  ENETUNREACH: { code: 'source.unreachable', message: 'There is no route to the server', hint: UNREACHABLE_HINT },
  ENOTFOUND: { code: 'source.host_unknown', message: 'The host name is not known', hint: 'Check the spelling of host and the name service.' },
  EAI_AGAIN: { code: 'source.host_unknown', message: 'The name service did not answer', hint: 'Check the name service of this machine.' },
  ECONNRESET: { code: 'source.connection_lost', message: 'The connection was reset' },
  EPIPE: { code: 'source.connection_lost', message: 'The connection was closed' },
  PROTOCOL_CONNECTION_LOST: { code: 'source.connection_lost', message: 'The server closed the connection' },
  ER_SERVER_SHUTDOWN: { code: 'source.connection_lost', message: 'The server is shutting down' },
  ER_CONNECTION_KILLED: { code: 'source.connection_lost', message: 'The connection was killed at the server' },
  ER_CLIENT_INTERACTION_TIMEOUT: { code: 'source.connection_lost', message: 'The server closed the idle connection' },
  ER_CON_COUNT_ERROR: { code: 'source.too_many_connections', message: 'The server has no free connection', hint: 'Lower sessions_max or raise max_connections.' },
  ER_TOO_MANY_USER_CONNECTIONS: { code: 'source.too_many_connections', message: 'The user has no free connection', hint: 'Lower sessions_max or raise max_user_connections.' },
  ER_USER_LIMIT_REACHED: { code: 'source.too_many_connections', message: 'The user has reached a limit of the server', hint: 'Raise the resource limits of the user.' },
  ER_HOST_IS_BLOCKED: { code: 'source.unreachable', message: 'The server blocks this machine after many failed connections', hint: 'Run FLUSH HOSTS at the server.' },
  ER_HOST_NOT_PRIVILEGED: { code: 'source.auth_failed', message: 'The server admits no connection from this machine', hint: 'Create the user for this machine, or for any host (user@\'%\').' },
  ER_ACCESS_DENIED_ERROR: { code: 'source.auth_failed', message: 'The server refused user or password', hint: 'Check user and password, and from which hosts the user may come.' },
  ER_ACCESS_DENIED_NO_PASSWORD_ERROR: { code: 'source.auth_failed', message: 'The server refused the user without a password', hint: 'Set password.' },
  ER_ACCOUNT_HAS_BEEN_LOCKED: { code: 'source.auth_failed', message: 'The account is locked', hint: 'Unlock it at the server: ALTER USER ... ACCOUNT UNLOCK.' },
  ER_USER_IS_BLOCKED: { code: 'source.auth_failed', message: 'The account is blocked after failed logins', hint: 'Unblock it at the server.' },
  ER_MUST_CHANGE_PASSWORD: { code: 'source.auth_failed', message: 'The password has expired', hint: 'Set a new one at the server.' },
  ER_MUST_CHANGE_PASSWORD_LOGIN: { code: 'source.auth_failed', message: 'The password has expired', hint: 'Set a new one at the server.' },
  ER_SECURE_TRANSPORT_REQUIRED: { code: 'source.tls_failed', message: 'The server admits encrypted connections only', hint: 'Set connection.tls: { mode: verify-full }.' },
  AUTH_SWITCH_PLUGIN_ERROR: { code: 'source.auth_failed', message: 'The server asks for a way to log in that is not supported here', hint: 'Use caching_sha2_password, or encrypt the connection with tls.' },
  ER_NOT_SUPPORTED_AUTH_MODE: { code: 'source.auth_failed', message: 'The server asks for a way to log in that is not supported here' },
  ER_BAD_DB_ERROR: { code: 'source.database_missing', message: 'The database does not exist', hint: 'Check database.' },
  ER_DBACCESS_DENIED_ERROR: { code: 'source.database_missing', message: 'The user may not use the database, or it does not exist', hint: 'Check database, or grant SELECT on it.' },
  HANDSHAKE_SSL_ERROR: { code: 'source.tls_failed', message: 'The TLS handshake failed or the certificate was refused', hint: 'Check tls.ca, the certificate\'s names and its dates.' },
  HANDSHAKE_UNKNOWN_ERROR: { code: 'source.protocol', message: 'What answers there does not speak the MySQL protocol', hint: 'Check host and port.' },
  ER_HANDSHAKE_ERROR: { code: 'source.protocol', message: 'The handshake with the server failed' },
  PROTOCOL_UNEXPECTED_PACKET: { code: 'source.protocol', message: 'The server sent what the protocol does not foresee' },
  PROTOCOL_ERROR: { code: 'source.protocol', message: 'The server sent what the protocol does not foresee' },
  ER_NO_SUCH_TABLE: { code: 'source.table_missing', message: 'The table does not exist' },
  ER_BAD_TABLE_ERROR: { code: 'source.table_missing', message: 'The table does not exist' },
  ER_BAD_FIELD_ERROR: { code: 'source.column_missing', message: 'A column that the stream reads does not exist any more', hint: 'Run tidemark plan to see what changed.' },
  ER_TABLEACCESS_DENIED_ERROR: { code: 'source.privilege_missing', message: 'The user may not read the table', hint: 'Grant SELECT on it.' },
  ER_COLUMNACCESS_DENIED_ERROR: { code: 'source.privilege_missing', message: 'The user may not read a column', hint: 'Grant SELECT on the table, or exclude the column.' },
  ER_SPECIFIC_ACCESS_DENIED_ERROR: { code: 'source.privilege_missing', message: 'The user lacks a privilege' },
  ER_VIEW_INVALID: { code: 'source.query_failed', message: 'The view refers to something that does not exist or that its definer may not use' },
  ER_QUERY_TIMEOUT: { code: 'source.statement_timeout', message: 'The statement took longer than statement_timeout' },
  ER_STATEMENT_TIMEOUT: { code: 'source.statement_timeout', message: 'The statement took longer than statement_timeout' },
  PROTOCOL_SEQUENCE_TIMEOUT: { code: 'source.statement_timeout', message: 'The statement took longer than statement_timeout' },
  ER_LOCK_WAIT_TIMEOUT: { code: 'source.statement_timeout', message: 'A lock on the table was not released in time' },
  ER_QUERY_INTERRUPTED: { code: 'source.read_interrupted', message: 'The statement was interrupted at the server' },
  ER_LOCK_DEADLOCK: { code: 'source.read_interrupted', message: 'The statement was chosen as the victim of a deadlock' },
  ER_TABLE_DEF_CHANGED: { code: 'source.read_interrupted', message: 'The table was altered while it was read' },
  ER_CHECKREAD: { code: 'source.read_interrupted', message: 'The table was altered while it was read' },
};

/** Numbers that mysql2 has under another word, or MariaDB under another number. */
const BY_NUMBER: Readonly<Record<number, string>> = {
  1969: 'ER_STATEMENT_TIMEOUT',
  3024: 'ER_QUERY_TIMEOUT',
  1927: 'ER_CONNECTION_KILLED',
  4031: 'ER_CLIENT_INTERACTION_TIMEOUT',
  1053: 'ER_SERVER_SHUTDOWN',
  1226: 'ER_USER_LIMIT_REACHED',
  3159: 'ER_SECURE_TRANSPORT_REQUIRED',
  3118: 'ER_ACCOUNT_HAS_BEEN_LOCKED',
  4151: 'ER_ACCOUNT_HAS_BEEN_LOCKED',
  1045: 'ER_ACCESS_DENIED_ERROR',
  1698: 'ER_ACCESS_DENIED_NO_PASSWORD_ERROR',
};

interface DriverError {
  readonly code?: unknown;
  readonly errno?: unknown;
  readonly message?: unknown;
  readonly fatal?: unknown;
}

function meaningOf(error: DriverError): Meaning | undefined {
  const byNumber = typeof error.errno === 'number' ? BY_NUMBER[error.errno] : undefined;
  const word = byNumber ?? (typeof error.code === 'string' ? error.code : '');
  if (Object.hasOwn(MEANINGS, word)) return MEANINGS[word];
  if (word.startsWith('ERR_TLS') || word.startsWith('ERR_SSL') || word.startsWith('CERT_') || word.includes('CERT')) return MEANINGS['HANDSHAKE_SSL_ERROR'];
  // What mysql2 says to a call on a connection that has ended has no code either.
  if (word === '' && error.fatal === true) return MEANINGS['PROTOCOL_CONNECTION_LOST'];
  // mysql2 gives the refusal of LOCAL INFILE no code.
  if (typeof error.message === 'string' && error.message.startsWith('As a result of LOCAL INFILE')) {
    return { code: 'source.protocol', message: 'The server asked for a file of this machine, which is refused', hint: 'Do not trust this server before you know why.' };
  }
  return undefined;
}

/** The server's number for what went wrong, or null where the failure is not the server's. */
export function serverErrorNumber(error: unknown): number | null {
  const number = (error as DriverError | null)?.errno;
  return typeof number === 'number' && number > 0 ? number : null;
}

/** Classifies what mysql2 threw. `what` names the table or the host; it ends the message's sentence. Never shows the driver's text. */
export function asTidemarkError(error: unknown, what: string): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const driver = (typeof error === 'object' && error !== null ? error : {}) as DriverError;
  const meaning = meaningOf(driver);
  if (meaning !== undefined) return new TidemarkError(meaning.code, `${meaning.message} (${what}).`, { hint: meaning.hint, cause: error });
  const number = serverErrorNumber(error);
  const word = typeof driver.code === 'string' ? driver.code : 'no code';
  return new TidemarkError('source.query_failed', `The server answered with error ${number ?? ''} ${word} (${what}).`.replace('  ', ' '), {
    hint: 'Look the number up in the server\'s manual; its text may quote values and is not shown.',
    cause: error,
  });
}
