/** The driver's codes to {@link TidemarkError}s. Never by message text, which quotes values. */
import { TidemarkError, type ErrorCode } from '../../schemas/errors.ts';
import type { NativeError } from './reader-protocol.ts';

interface Meaning {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

const UNREACHABLE_HINT = 'Check host and port, that the server runs, and that no firewall is between.';
const PRIVILEGE_HINT = 'Grant SELECT on the table to the user of the connection.';
const AGAIN_HINT = 'The read is repeated from its last position.';

const LOST: Meaning = { code: 'source.connection_lost', message: 'The connection to the source was lost', hint: UNREACHABLE_HINT };
const TIMEOUT: Meaning = { code: 'source.statement_timeout', message: 'The statement ran longer than it may', hint: 'Raise statement_timeout, or index the cursor.' };
const LOCKED: Meaning = { code: 'source.read_interrupted', message: 'The source rolled the read back after a deadlock or a lock wait', hint: AGAIN_HINT };
const NO_TABLE: Meaning = { code: 'source.table_missing', message: 'The table does not exist', hint: 'Check its name with tidemark discover.' };
const NO_COLUMN: Meaning = { code: 'source.column_missing', message: 'A column does not exist any more', hint: 'Check the table with tidemark discover, then apply again.' };
const NO_PRIVILEGE: Meaning = { code: 'source.privilege_missing', message: 'The user may not read the table', hint: PRIVILEGE_HINT };
const NO_DATABASE: Meaning = { code: 'source.database_missing', message: 'The server has no such database', hint: 'Check the name; it is matched in upper case.' };
const BUSY: Meaning = { code: 'source.too_many_connections', message: 'The server takes no more connections', hint: 'Lower sessions_max, or raise the limit of the server.' };
const NO_AUTH: Meaning = { code: 'source.auth_failed', message: 'The server refused the user or the password', hint: 'Check user and password, and authentication: server where the server takes no encrypted password.' };
const DOWN: Meaning = { code: 'source.unreachable', message: 'The server does not take connections at the moment', hint: UNREACHABLE_HINT };

const BY_SQLCODE: Readonly<Record<number, Meaning>> = {
  [-204]: NO_TABLE,
  [-205]: NO_COLUMN,
  [-206]: NO_COLUMN,
  [-551]: NO_PRIVILEGE,
  [-552]: NO_PRIVILEGE,
  [-668]: { code: 'source.query_failed', message: 'The table is not accessible: it waits for a load, a reorganisation or a set integrity', hint: 'Finish that on the server.' },
  [-904]: { code: 'source.read_interrupted', message: 'The server lacks a resource for this read', hint: AGAIN_HINT },
  [-911]: LOCKED,
  [-913]: LOCKED,
  [-952]: TIMEOUT,
  [-1013]: NO_DATABASE,
  [-1015]: DOWN,
  [-1031]: NO_DATABASE,
  [-1035]: DOWN,
  [-1040]: BUSY,
  [-1060]: { code: 'source.auth_failed', message: 'The user may not connect to the database', hint: 'Grant CONNECT on the database to the user.' },
  [-1203]: BUSY,
  [-1224]: LOST,
  [-1226]: BUSY,
  [-20157]: DOWN,
  [-30020]: LOST,
  [-30061]: NO_DATABASE,
  [-30080]: LOST,
  [-30081]: LOST,
  [-30082]: NO_AUTH,
  [-30108]: LOST,
};

/** Where the SQLCODE says little: Derby answers everything with -1, the driver's own faults with -99999. */
const BY_SQLSTATE: Readonly<Record<string, Meaning>> = {
  '40001': LOCKED,
  '40003': LOST,
  '08001': LOST,
  '08003': LOST,
  '08004': NO_DATABASE,
  '08006': LOST,
  '08S01': LOST,
  HYT00: TIMEOUT,
  HYT01: DOWN,
  '40XL1': LOCKED,
  '40XL2': LOCKED,
  '42704': NO_TABLE,
  '42X05': NO_TABLE,
  '42Y07': NO_TABLE,
  '42703': NO_COLUMN,
  '42X04': NO_COLUMN,
  '42501': NO_PRIVILEGE,
  '42502': NO_PRIVILEGE,
  '42508': NO_PRIVILEGE,
  '57014': TIMEOUT,
  '58009': LOST,
  XJ208: LOST,
};

const BY_FAULT: Readonly<Record<NonNullable<NativeError['fault']>, Meaning>> = {
  row_refused: { code: 'source.row_refused', message: "A row holds what its column's type can't.", hint: 'The rows are read again, and such rows go to quarantine.' },
  driver_load: { code: 'source.driver_missing', message: 'The Db2 driver is installed but cannot be loaded', hint: 'Install it again: node scripts/install-db2.js --force.' },
  rows_missing: { code: 'source.read_interrupted', message: 'The driver could not fetch a row', hint: AGAIN_HINT },
  value_changed: { code: 'source.read_interrupted', message: 'A long value changed while it was read', hint: AGAIN_HINT },
  crash: { code: 'source.connection_lost', message: 'The native driver failed in a way that leaves its connection unusable', hint: AGAIN_HINT },
};

const FAILED: Meaning = { code: 'source.query_failed', message: 'The source refused a statement', hint: "The codes are explained in the server's manual." };

function meaningOf(error: NativeError): Meaning {
  if (error.fault !== null) return BY_FAULT[error.fault];
  return BY_SQLCODE[error.sqlcode ?? 0] ?? BY_SQLSTATE[error.sqlstate ?? ''] ?? FAILED;
}

function codes(error: NativeError): string {
  const known = [error.sqlcode === null ? '' : `SQLCODE ${error.sqlcode}`, error.sqlstate === null ? '' : `SQLSTATE ${error.sqlstate}`].filter((text) => text !== '');
  return known.length === 0 ? '' : ` (${known.join(', ')})`;
}

/** `subject` names what was asked for, a table for example; never a value. */
export function fromNative(error: NativeError, subject?: string): TidemarkError {
  const meaning = meaningOf(error);
  return new TidemarkError(meaning.code, `${meaning.message}${subject === undefined ? '' : `: ${subject}`}${codes(error)}.`, { hint: meaning.hint });
}

/** A failure while connecting: what is a lost connection later is an unreachable server here, or one that speaks no TLS. */
export function fromConnecting(error: NativeError, where: { readonly host: string; readonly port: number; readonly tls: boolean }): TidemarkError {
  const meaning = meaningOf(error);
  const address = `${where.host}:${where.port}`;
  if (meaning.code !== 'source.connection_lost') return fromNative(error);
  if (where.tls) {
    return new TidemarkError('source.tls_failed', `No TLS connection could be made to ${address}${codes(error)}.`, {
      hint: 'Check that the port is the one for TLS, that tls.ca holds the authority of the server certificate, and that the certificate names the host.',
    });
  }
  return new TidemarkError('source.protocol', `What answers at ${address} does not speak Db2's protocol, or only with TLS${codes(error)}.`, {
    hint: 'Check the port; for a port that wants TLS set tls: { mode: verify-full }.',
  });
}

const LOOKUP_FAILURES: readonly string[] = ['ENOTFOUND', 'EAI_AGAIN', 'EAI_NODATA', 'EAI_NONAME'];

/** A failure to reach the port at all, by the operating system's code; null: no answer in time. */
export function fromProbe(code: string | null, host: string, port: number): TidemarkError {
  if (code !== null && LOOKUP_FAILURES.includes(code)) {
    return new TidemarkError('source.host_unknown', `The host name ${host} is not known.`, { hint: 'Check the spelling of host and the name service.' });
  }
  const what = code === 'ECONNREFUSED' ? 'refused the connection' : code === null ? 'did not answer in time' : `cannot be reached (${code})`;
  return new TidemarkError('source.unreachable', `${host}:${port} ${what}.`, { hint: UNREACHABLE_HINT });
}

export const cancelled = (): TidemarkError => new TidemarkError('batch.cancelled', 'The read was cancelled.');

export const statementTimeout = (): TidemarkError => new TidemarkError(TIMEOUT.code, `${TIMEOUT.message}.`, { hint: TIMEOUT.hint });

export const readerEnded = (): TidemarkError =>
  new TidemarkError('source.connection_lost', "The process that holds this source's native driver ended.", { hint: AGAIN_HINT });
