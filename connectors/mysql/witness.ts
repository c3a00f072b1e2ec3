/**
 * Signs that the server or the table is not the one that was read, and what became of the rows that were read last.
 *
 * The redo log of InnoDB only grows, restarts and crashes included: where it is behind what was on disk at the last run, the files are those of
 * an earlier day. It says nothing where rows arrive from another server: a member that was set up anew has a log of its own. AUTO_INCREMENT
 * only goes back with a TRUNCATE, a new table, or by hand. The catalog's time of creation changes with each ALTER that rebuilds, too.
 */
import type { StreamRead } from '../connector.ts';
import { hasFallen, isSuspect, otherHistory, type Fate, type LastRows, type Signs } from '../last-rows.ts';
import { compareExpression, cursorOf, literal } from './columns.ts';
import type { OpenConnection } from './connection.ts';
import { lost, type Marks, type ReadState } from './position-state.ts';
import { quoteTable } from './quoting.ts';
import { keyColumns } from './range.ts';

/** A restart takes longer than clock and uptime, read one after the other, can differ. */
const RESTART_SECONDS = 5;

/** MySQL 8.0.30 and MariaDB 10.5 have them, and show them to everybody. */
const LOG_FLUSHED = ['innodb_lsn_flushed', 'innodb_redo_log_flushed_to_disk_lsn'];
const LOG_CURRENT = ['innodb_lsn_current', 'innodb_redo_log_current_lsn'];

interface ServerMarks {
  /** Seconds since 1970. */
  readonly started: string | null;
  readonly flushed: string | null;
  readonly current: string | null;
}

async function readServerMarks(connection: OpenConnection): Promise<ServerMarks> {
  const names = ['uptime', ...LOG_FLUSHED, ...LOG_CURRENT].map((name) => `'${name}'`).join(',');
  const rows = await connection.query(`SHOW GLOBAL STATUS WHERE Variable_name IN (${names})`, 'server status');
  const [clock] = await connection.query('SELECT UNIX_TIMESTAMP()', 'the clock');
  const status = new Map(rows.map(([name, value]) => [(name ?? '').toLowerCase(), value ?? '']));
  const number = (wanted: readonly string[]): string | null => wanted.map((name) => status.get(name) ?? '').find((value) => /^\d+$/.test(value)) ?? null;
  const uptime = number(['uptime']);
  const now = clock?.[0] ?? '';
  return {
    started: uptime === null || !/^\d+$/.test(now) ? null : String(BigInt(now) - BigInt(uptime)),
    flushed: number(LOG_FLUSHED),
    current: number(LOG_CURRENT),
  };
}

/** InnoDB forgot the counter with each restart before MySQL 8.0 and MariaDB 10.2.4. */
function keepsCounters({ product, version }: OpenConnection): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number);
  if (product === 'MySQL') return major >= 8;
  return major > 10 || (major === 10 && (minor > 2 || (minor === 2 && patch >= 4)));
}

/** For a position. Only what is on disk of the log counts: a crash may lose the rest, and no committed row with it. */
export async function readMarks(connection: OpenConnection, next: string | null): Promise<Marks> {
  const { started, flushed } = await readServerMarks(connection);
  return { started, log: flushed, next: keepsCounters(connection) ? next : null };
}

async function readLastRows(connection: OpenConnection, stream: StreamRead, state: ReadState): Promise<LastRows> {
  const cursor = cursorOf(stream);
  const key = keyColumns(stream);
  const from = quoteTable(stream.table);
  const by = compareExpression(cursor);
  // The key of the settings may not be unique: the best of its rows counts.
  const fates = state.last.map(([at = '', ...values]) => {
    const same = key.map((column, index) => `${compareExpression(column)} = ${literal(column, values[index] ?? '')}`);
    return `(SELECT MAX(CASE WHEN ${by} >= ${literal(cursor, at)} OR ${by} IS NULL THEN 'there' ELSE 'back' END) FROM ${from} WHERE ${same.join(' AND ')})`;
  });
  const beyond = `NOT EXISTS(SELECT 1 FROM ${from} WHERE ${by} >= ${literal(cursor, state.last[0]?.[0] ?? '')})`;
  const [row = []] = await connection.query(`SELECT EXISTS(SELECT 1 FROM ${from}), ${beyond}, ${fates.join(', ')}`, `${stream.table.schema}.${stream.table.name}`);
  const [filled, endsBelow, ...found] = row;
  return { filled: filled === '1', endsBelow: endsBelow === '1', fates: found.map((fate): Fate => (fate === 'there' || fate === 'back' ? fate : 'gone')) };
}

/** What the catalog says of the table now. */
export interface TableMark {
  /** When it was made or last rebuilt. */
  readonly made: string | null;
  /** The next AUTO_INCREMENT value; null where there is none. */
  readonly next: string | null;
}

/** Whether rows arrive from other servers, asked where it matters. */
export interface Company {
  alone(): Promise<boolean>;
}

/**
 * Throws `source.history_lost`. Without `server` only the table is looked at, which is enough where nothing is read. A position of an earlier
 * version has no marks, and is compared by its table alone.
 */
export async function requireSameHistory(connection: OpenConnection, stream: StreamRead, state: ReadState, table: TableMark, server: Company | null): Promise<void> {
  const where = `${stream.table.schema}.${stream.table.name}`;
  const was = state.marks ?? { started: null, log: null, next: null };
  const now = server === null || state.marks === undefined ? null : await readServerMarks(connection);
  const logFell = hasFallen(was.log, now?.current ?? null);
  if (logFell && await server?.alone() === true) throw lost(`${where}: the server's redo log is behind what was read: it was restored from an earlier copy of its files, or made anew.`);
  const signs: Signs = {
    setBack: table.made !== state.made ? 'the table was made anew' : hasFallen(was.next, table.next) ? 'its counter has gone back' : logFell ? 'the redo log has gone back' : null,
    restarted: was.started !== null && (now?.started ?? null) !== null && Math.abs(Number(now?.started) - Number(was.started)) > RESTART_SECONDS,
    logGrew: was.log !== null && (now?.current ?? null) !== null && !logFell,
  };
  if (!isSuspect(signs) || state.last.length === 0) return;
  const reason = otherHistory(signs, await readLastRows(connection, stream, state));
  if (reason !== null) throw lost(`${where}: ${reason}.`);
}
