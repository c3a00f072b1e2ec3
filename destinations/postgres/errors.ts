import { TidemarkError, type ErrorCode } from '../../schemas/errors.ts';

/** The fields of a server error that never hold a row's value; message, detail and where are not among them. */
interface ServerError {
  readonly code: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
}

interface Finding {
  readonly code: ErrorCode;
  readonly says: string;
  readonly hint?: string;
}

const SOCKET: Record<string, Finding> = {
  ECONNREFUSED: { code: 'target.unreachable', says: 'The destination refused the connection.', hint: 'Check that PostgreSQL runs and that host and port of destination.url are right.' },
  ETIMEDOUT: { code: 'target.unreachable', says: 'The destination did not answer in time.', hint: 'Check host, port and the firewall between this worker and the destination.' },
  EHOSTUNREACH: { code: 'target.unreachable', says: 'There is no route to the destination.', hint: 'Check the network between this worker and the destination.' },
  ENOTFOUND: { code: 'target.host_unknown', says: "The destination's host name is unknown.", hint: 'Check the host in destination.url.' },
  EAI_AGAIN: { code: 'target.host_unknown', says: "The destination's host name could not be looked up.", hint: 'Check the host in destination.url and the name server.' },
  ECONNRESET: { code: 'target.connection_lost', says: 'The destination closed the connection.' },
  EPIPE: { code: 'target.connection_lost', says: 'The destination closed the connection.' },
};

const SQLSTATE: Record<string, Finding> = {
  '28P01': { code: 'target.auth_failed', says: 'The destination refused the user or password.', hint: 'Check user and password of destination.url.' },
  '28000': { code: 'target.auth_failed', says: 'The destination refused the user.', hint: 'Check the user of destination.url and pg_hba.conf.' },
  '3D000': { code: 'target.database_missing', says: 'The database of the destination does not exist.', hint: 'Create it, or correct destination.url.' },
  '42501': { code: 'target.privilege_missing', says: 'The user lacks a privilege at the destination.', hint: 'Grant CREATE on the database, and ownership or INSERT, UPDATE, SELECT on the target.' },
  '53300': { code: 'target.too_many_connections', says: 'The destination has no free connection.', hint: 'Raise max_connections or run fewer workers.' },
  '53100': { code: 'target.disk_full', says: "The destination's disk is full.", hint: 'Free space at the destination; the stream goes on by itself.' },
  '53200': { code: 'target.disk_full', says: 'The destination is out of memory.' },
  '42P01': { code: 'target.table_missing', says: 'The target, or a table of the schema tidemark, is gone.', hint: 'Put it back, or build it anew with tidemark sync SOURCE --stream STREAM --full.' },
  '42703': { code: 'target.column_conflict', says: 'A column of the target, or of a table of the schema tidemark, is gone.', hint: 'Put it back with its values, or build the target anew with tidemark sync SOURCE --stream STREAM --full.' },
  P0001: { code: 'target.constraint', says: 'A trigger or a rule of the target refused a row.', hint: 'Drop the trigger, or correct the rows at the source.' },
  '25006': { code: 'target.read_only', says: 'The destination is read-only at present.', hint: 'It may be a standby; point destination.url at the primary.' },
  '55P03': { code: 'target.locked', says: 'Another session holds a lock on the target.', hint: 'Look for long transactions on the target in pg_stat_activity.' },
  '40001': { code: 'target.locked', says: 'The transaction met another one.' },
  '40P01': { code: 'target.locked', says: 'The transaction met another one (deadlock).' },
  '57014': { code: 'target.locked', says: 'A statement at the destination was cancelled or took too long.' },
};

/** True for an error of PostgreSQL that says a value does not fit its type: what lenient staging isolates row by row. */
export function isDataError(error: unknown): boolean {
  return serverError(error)?.code.startsWith('22') ?? false;
}

/** True where a lock was not had in time. */
export function isLockTimeout(error: unknown): boolean {
  return serverError(error)?.code === '55P03';
}

/** True where a row has a key that the table has already. */
export function isKnownRow(error: unknown): boolean {
  return serverError(error)?.code === '23505';
}

/** True where transactions waited for each other, and the server ended this one. */
export function isDeadlock(error: unknown): boolean {
  return serverError(error)?.code === '40P01';
}

/** Turns an error of `pg` into one of ours. Passes ours through. Repeats no text of the server. */
export function destinationError(error: unknown, doing: string): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const server = serverError(error);
  if (server) return fromServer(server, doing, error);
  const socket = socketCode(error);
  const finding = socket === null ? undefined : SOCKET[socket];
  if (finding) return new TidemarkError(finding.code, finding.says, { hint: finding.hint, cause: error });
  return new TidemarkError('target.connection_lost', `The connection to the destination failed while ${doing}.`, { cause: error });
}

function fromServer(server: ServerError, doing: string, cause: unknown): TidemarkError {
  const finding = SQLSTATE[server.code];
  if (finding) return new TidemarkError(finding.code, finding.says, { hint: finding.hint, cause });
  // A constraint may meet a row while the next generation is built: its table has a name that nobody knows.
  const building = server.schema === 'tidemark_stage';
  const where = [server.table && (building ? 'the next generation of the target' : `table ${server.schema ?? ''}.${server.table}`), server.column && `column ${server.column}`, server.constraint && `constraint ${server.constraint}`]
    .filter(Boolean)
    .join(', ');
  const place = where === '' ? '' : ` (${where})`;
  if (server.code.startsWith('23')) {
    return new TidemarkError('target.constraint', `A row breaks a constraint of the target${place}.`, { hint: `SQLSTATE ${server.code}. Drop the constraint, or correct the rows at the source.`, cause });
  }
  if (server.code.startsWith('57P') || server.code.startsWith('08')) {
    return new TidemarkError('target.connection_lost', `The destination ended the session while ${doing}.`, { cause });
  }
  return new TidemarkError('target.query_failed', `The destination failed while ${doing}${place}: SQLSTATE ${server.code}.`, { cause });
}

function serverError(error: unknown): ServerError | null {
  if (typeof error !== 'object' || error === null || !('code' in error) || !('severity' in error)) return null;
  return typeof error.code === 'string' && error.code.length === 5 ? (error as ServerError) : null;
}

function socketCode(error: unknown): string | null {
  if (error instanceof AggregateError && error.errors.length > 0) return socketCode(error.errors[0]);
  if (typeof error !== 'object' || error === null) return null;
  if ('code' in error && typeof error.code === 'string') return error.code;
  if (error instanceof Error && /timeout/i.test(error.message)) return 'ETIMEDOUT';
  return null;
}
