/** From the driver's and the server's codes to ours. Server messages may quote values, so none of them is repeated. */
import { TidemarkError, type ErrorCode } from '../../schemas/errors.ts';
import { tlsError, type TlsFault } from '../tls.ts';

interface Meaning {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

const LOST: Meaning = { code: 'source.connection_lost', message: 'The connection to the server broke.' };
const SILENT: Meaning = { code: 'source.unreachable', message: 'The server did not answer in time.', hint: 'Check host, port and the firewall.' };
const NOT_ORACLE: Meaning = { code: 'source.protocol', message: 'What answers there does not speak the Oracle protocol.', hint: 'Check host and port, and whether the port expects TLS.' };
const NO_SERVICE: Meaning = { code: 'source.database_missing', message: 'The listener does not know the service or SID.', hint: 'Check service_name or sid with `lsnrctl services`; the database may still be starting.' };
const TLS_REFUSED: Meaning = { code: 'source.tls_failed', message: 'The TLS handshake failed or the certificate was refused.', hint: 'Check wallet (certificate authority), the host name or tls.server_dn, and that the port speaks TCPS.' };
const WRONG_PASSWORD: Meaning = { code: 'source.auth_failed', message: 'The server refused user or password.', hint: 'Check user and password.' };
const SNAPSHOT_OLD: Meaning = { code: 'source.read_interrupted', message: 'The snapshot of the read is no longer available at the server.', hint: 'It is read again in a new snapshot. If that keeps failing, lower batch_rows (then sync --full) or raise undo_retention (LOB retention for tables with LOBs).' };
const TABLE_CHANGED: Meaning = { code: 'source.read_interrupted', message: 'The table was changed by DDL or a truncate while it was read.', hint: 'It is read again in a new snapshot.' };
const NO_PAST: Meaning = { code: 'source.query_failed', message: 'The server has no flashback query for this kind of table or view.', hint: 'Leave connection.snapshot out, or set it to transaction.' };
const TOO_MANY: Meaning = { code: 'source.too_many_connections', message: 'The server has no session left for this user.', hint: 'Lower sessions_max, or raise processes, sessions or the profile\'s limit.' };
const STARTING: Meaning = { code: 'source.unreachable', message: 'The database is starting up, shutting down or not open.' };
const TIMED_OUT: Meaning = { code: 'source.statement_timeout', message: 'The statement ran into its time limit.', hint: 'Raise statement_timeout, lower batch_rows (a build that has begun keeps its parts; sync --full begins anew), or give the cursor column an index.' };
const NO_PRIVILEGE: Meaning = { code: 'source.privilege_missing', message: 'The user may not do this.', hint: 'Grant SELECT (or READ) on the table.' };
const TYPE_CHANGED: Meaning = { code: 'source.schema_changed', message: 'A stored position or an expression does not fit a column any more.', hint: 'Did the type of the cursor or a key column change? Run `tidemark plan`.' };
const BAD_NAME: Meaning = { code: 'source.column_missing', message: 'A column that the stream reads does not exist any more.', hint: 'Run `tidemark plan` to see how the table changed.' };

/** Keys are `error.code`: NJS of the driver, ORA of the server. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  'NJS-503': { code: 'source.unreachable', message: 'The server refused the connection or cannot be reached.', hint: 'Check host, port and firewall, and that the listener runs.' },
  'NJS-504': { code: 'source.unreachable', message: 'The web proxy refused the connection.' },
  'NJS-505': TLS_REFUSED,
  'NJS-506': TLS_REFUSED,
  'NJS-507': TLS_REFUSED,
  'NJS-508': TLS_REFUSED,
  'NJS-509': NOT_ORACLE,
  'NJS-173': NOT_ORACLE,
  'NJS-510': SILENT,
  'NJS-511': { code: 'source.unreachable', message: 'The listener refused the connection.', hint: 'Check service_name, and that the listener admits this machine.' },
  'NJS-512': NO_SERVICE,
  'NJS-514': NO_SERVICE,
  'NJS-515': NO_SERVICE,
  'NJS-516': NO_SERVICE,
  'NJS-518': NO_SERVICE,
  'NJS-519': NO_SERVICE,
  'NJS-521': NOT_ORACLE,
  'NJS-530': { code: 'source.host_unknown', message: 'The host name is unknown.', hint: 'Check the spelling of host and the name service.' },
  'NJS-531': NOT_ORACLE,
  'NJS-533': { code: 'source.protocol', message: 'The server demands native network encryption, which this driver does not speak.', hint: 'Connect by TLS (tls.mode: verify-full), or let the server accept instead of require it.' },
  'NJS-116': { code: 'source.auth_failed', message: 'The password is stored only in a form that this driver does not support (10G).', hint: 'Set the password again at the server, with SEC_CASE_SENSITIVE_LOGON on.' },
  'NJS-138': { code: 'source.protocol', message: 'The server is older than Oracle Database 12.1.', hint: 'Oracle 12.1 and later are supported.' },
  'NJS-003': LOST,
  'NJS-500': LOST,
  'NJS-501': LOST,
  'NJS-123': TIMED_OUT,
  'NJS-040': SILENT,
  'ORA-01013': TIMED_OUT,
  'ORA-02393': { ...TIMED_OUT, hint: 'The profile of the user limits CPU_PER_CALL.' },
  'ORA-02395': { ...TIMED_OUT, hint: 'The profile of the user limits LOGICAL_READS_PER_CALL.' },
  'ORA-00040': { ...TIMED_OUT, hint: 'A resource manager plan limits the statement.' },
  'ORA-01017': WRONG_PASSWORD,
  'ORA-01005': WRONG_PASSWORD,
  'ORA-28000': { code: 'source.auth_failed', message: 'The account is locked.', hint: 'Unlock it at the server: ALTER USER … ACCOUNT UNLOCK.' },
  'ORA-28001': { code: 'source.auth_failed', message: 'The password has expired.', hint: 'Set a new one at the server.' },
  'ORA-01045': { code: 'source.auth_failed', message: 'The user may not log in.', hint: 'GRANT CREATE SESSION to the user.' },
  'ORA-28040': { code: 'source.auth_failed', message: 'The server asks for an authentication protocol that this driver does not have.' },
  'ORA-12514': NO_SERVICE,
  'ORA-12505': NO_SERVICE,
  'ORA-12521': NO_SERVICE,
  'ORA-12520': TOO_MANY,
  'ORA-12516': TOO_MANY,
  'ORA-12519': TOO_MANY,
  'ORA-00018': TOO_MANY,
  'ORA-00020': TOO_MANY,
  'ORA-02391': TOO_MANY,
  'ORA-12528': STARTING,
  'ORA-12526': STARTING,
  'ORA-12527': STARTING,
  'ORA-01033': STARTING,
  'ORA-01034': STARTING,
  'ORA-01035': STARTING,
  'ORA-01090': STARTING,
  'ORA-01109': STARTING,
  'ORA-16000': { code: 'source.query_failed', message: 'The statement would have to write, and the database is open read-only.' },
  'ORA-01456': { code: 'source.query_failed', message: 'The statement would have to write, and the transaction is read-only.', hint: 'Does a view call a function that writes?' },
  'ORA-00942': { code: 'source.table_missing', message: 'The table does not exist, or the user may not read it.', hint: 'Check the name with `tidemark discover`, and grant SELECT on it.' },
  'ORA-04043': { code: 'source.table_missing', message: 'The table does not exist, or the user may not read it.' },
  'ORA-01435': { code: 'source.database_missing', message: 'The schema does not exist.', hint: 'Check connection.schema; it is written as the catalog has it, usually in upper case.' },
  'ORA-00904': BAD_NAME,
  'ORA-01031': NO_PRIVILEGE,
  'ORA-01720': NO_PRIVILEGE,
  'ORA-41900': NO_PRIVILEGE,
  'ORA-28113': { code: 'source.privilege_missing', message: 'A row security policy of the table fails for this user.' },
  'ORA-04063': { code: 'source.query_failed', message: 'The view has errors.', hint: 'Recompile it at the server.' },
  'ORA-01555': SNAPSHOT_OLD,
  'ORA-22924': SNAPSHOT_OLD,
  'ORA-08180': SNAPSHOT_OLD,
  'ORA-08181': SNAPSHOT_OLD,
  'ORA-08187': NO_PAST,
  'ORA-30051': NO_PAST,
  'ORA-08103': TABLE_CHANGED,
  'ORA-01466': TABLE_CHANGED,
  'ORA-08176': TABLE_CHANGED,
  'ORA-01410': TABLE_CHANGED,
  'ORA-12801': { code: 'source.read_interrupted', message: 'A parallel query server of the statement failed.' },
  'ORA-00060': { code: 'source.read_interrupted', message: 'The read was chosen as the victim of a deadlock.' },
  'ORA-01652': { code: 'source.read_interrupted', message: 'The server had no temporary space left for the sort.', hint: 'Give the cursor and key columns an index, or raise the temporary tablespace.' },
  'ORA-04031': { code: 'source.read_interrupted', message: 'The server ran out of shared memory.' },
  'ORA-04068': { code: 'source.read_interrupted', message: 'A package that the statement uses was changed.' },
  'ORA-01722': TYPE_CHANGED,
  'ORA-01843': TYPE_CHANGED,
  'ORA-01858': TYPE_CHANGED,
  'ORA-01861': TYPE_CHANGED,
  'ORA-00932': TYPE_CHANGED,
  'ORA-01446': { code: 'source.cursor_unusable', message: 'ORA_ROWSCN cannot be read from this view.', hint: 'Choose another cursor.' },
};

/** Codes with which the server or the driver ends a session; the driver also folds many of them into NJS-500. */
const LOST_CODES = new Set([
  'ORA-00028', 'ORA-00600', 'ORA-00603', 'ORA-01012', 'ORA-01041', 'ORA-01089', 'ORA-01092', 'ORA-02396', 'ORA-02399',
  'ORA-03113', 'ORA-03114', 'ORA-03135', 'ORA-12153', 'ORA-12537', 'ORA-12547', 'ORA-12570', 'ORA-25408',
  'ECONNRESET', 'EPIPE', 'ETIMEDOUT',
]);

/**
 * The {@link TidemarkError} for an error of the driver; `where` names what was tried (`table BANK.ACCOUNT`, `host:port`).
 * A TidemarkError passes through. Only the code is taken from the driver's error.
 */
export function toTidemarkError(error: unknown, where: string): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const code = codeOf(error);
  const meaning = meaningOf(code);
  return new TidemarkError(meaning.code, `${where}: ${meaning.message}${code === '' ? '' : ` (${code})`}`, { hint: meaning.hint, cause: error });
}

/** The same while a connection is being made: an end of the line then means a server of another kind, or none. */
export function toConnectError(error: unknown, where: string): TidemarkError {
  const fault = codeOf(error) === 'NJS-506' ? tlsFaultIn(messageOf(error)) : null;
  if (fault === 'unknown_authority') return tlsError(fault, where, error, AUTHORITY_HINT);
  if (fault !== null) return tlsError(fault, where, error);
  const endedAtOnce = codeOf(error) === 'NJS-500' && messageOf(error).includes('NJS-521');
  return endedAtOnce ? toTidemarkError({ code: 'NJS-521' }, where) : toTidemarkError(error, where);
}

const AUTHORITY_HINT = 'Put the authority into connection.wallet (ewallet.pem, with a private key), or its file into NODE_EXTRA_CA_CERTS of the workers.';

/** The driver keeps no code of what TLS refused, only OpenSSL's fixed words, or its own code for a name that does not match. */
const TLS_TEXTS: readonly (readonly [RegExp, TlsFault])[] = [
  [/NJS-50[78]/, 'wrong_host'],
  [/certificate has expired/, 'expired'],
  [/certificate is not yet valid/, 'not_yet_valid'],
  [/self-signed certificate|unable to (get|verify)/, 'unknown_authority'],
  [/wrong version number|packet length too long|before secure TLS connection|ECONNRESET/, 'no_tls'],
];

function tlsFaultIn(text: string): TlsFault | null {
  return TLS_TEXTS.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}

function meaningOf(code: string): Meaning {
  return MEANINGS[code] ?? (LOST_CODES.has(code) ? LOST : { code: 'source.query_failed', message: 'The statement failed in an unexpected way.', hint: 'Look the code up in Oracle\'s error message reference.' });
}

function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[A-Z]+-?\d*$/.test(code) ? code : '';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : '';
}
