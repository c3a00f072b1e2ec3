/**
 * Which transactions and statements of others may yet bring rows that are older than what is already visible.
 *
 * A row's time or number is drawn when its statement runs and becomes visible when its transaction commits. A transaction
 * stands in innodb_trx with the second it began. A statement's NOW() is fixed before its transaction begins (it may wait for a
 * lock in between), so running statements count too. Read-only transactions and this connection's own bring nothing.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { MARK, type OpenConnection } from './connection.ts';
import { beginSnapshot, snapshotsOf } from './range.ts';

/** `start`: UTC, `YYYY-MM-DD HH:MM:SS.ffffff`; null where it can't be known (a prepared transaction that no thread owns). */
export interface OpenTransaction {
  readonly id: string;
  readonly thread: string;
  readonly start: string | null;
}

/** Both catalogs tell seconds; what began within one began, for sure, a second before it. */
const GRANULARITY_S = 1;
/** More than these are remembered as one that ends at once. */
const REMEMBERED_MAX = 64;

/**
 * trx_started is in the system's zone. In the hour that autumn repeats, the earlier of the two readings is taken.
 */
const STARTED_UTC = "CONVERT_TZ(trx_started,'SYSTEM','+00:00')";
/**
 * One that has not written yet counts too: an application may have taken its row's time already. Its id is not its own for long
 * (the server reuses it), so the start is part of what identifies it.
 */
const TRANSACTIONS = `CONCAT(trx_id, '@', trx_started), trx_mysql_thread_id, CAST(
    IF(CONVERT_TZ(${STARTED_UTC} - INTERVAL 1 HOUR,'+00:00','SYSTEM') = trx_started, ${STARTED_UTC} - INTERVAL 1 HOUR, ${STARTED_UTC})
    - INTERVAL ${GRANULARITY_S} SECOND AS DATETIME(6)), trx_query,
    trx_mysql_thread_id = CONNECTION_ID(), trx_is_read_only = 0
  FROM information_schema.innodb_trx`;

const STATEMENTS = `SELECT id, CAST(UTC_TIMESTAMP(6) - INTERVAL time + ${GRANULARITY_S} SECOND AS DATETIME(6)), info IS NULL
  FROM information_schema.processlist
  WHERE id <> CONNECTION_ID() AND command IN ('Query','Execute') AND time IS NOT NULL
    AND COALESCE(info,'') NOT LIKE '${MARK}%'`;

/** One that begins or ends has no text for a moment, and may be our own. */
const TEXT_RETRIES = 3;

async function readStatements(connection: OpenConnection): Promise<readonly OpenTransaction[]> {
  for (let attempt = 1; ; attempt += 1) {
    const rows = await connection.query(STATEMENTS, 'the process list');
    if (attempt > TEXT_RETRIES || rows.every(([, , isBlank]) => isBlank !== '1')) return rows.map(([thread, start]) => ({ id: 's', thread: thread ?? '', start: start ?? null }));
  }
}

/**
 * innodb_trx is a copy that the server renews only when nobody has read it for 100 ms. So that many readers don't keep it stale for
 * each other, waits are random and grow.
 */
const STALE_WAIT_MS = 110;
const STALE_RETRIES = 7;

/**
 * The copy is fresh if it shows this very statement, which carries a word that no earlier one had. It is also fresh if it shows this
 * connection idle in its first transaction: that one began after the statements were read. Null: it stayed stale.
 */
async function readTransactions(connection: OpenConnection, first: boolean): Promise<readonly OpenTransaction[] | null> {
  for (let attempt = 0; attempt < STALE_RETRIES; attempt += 1) {
    const word = randomUUID();
    const rows = await connection.query(`SELECT /* ${word} */ ${TRANSACTIONS}`, 'open transactions');
    const own = rows.find(([, , , , isOwn]) => isOwn === '1');
    const fresh = own !== undefined && (own[3]?.includes(word) === true || (first && own[3] === null));
    if (fresh) {
      return rows.filter(([, , , , isOwn, writes]) => isOwn === '0' && writes === '1')
        .map(([id, thread, start]) => ({ id: id ?? '', thread: thread ?? '', start: thread === '0' ? null : (start ?? null) }));
    }
    await setTimeout(STALE_WAIT_MS * (1 + Math.random()) * 2 ** Math.min(attempt, 3));
  }
  return null;
}

/**
 * Reads what is open now, and leaves a transaction of its own open; needs PROCESS. Null: the server did not show it.
 * Statements come first: whatever is in a statement then and idle afterwards stands in innodb_trx.
 */
export async function readOpenTransactions(connection: OpenConnection): Promise<readonly OpenTransaction[] | null> {
  const statements = await readStatements(connection);
  const first = snapshotsOf(connection) === 0;
  await beginSnapshot(connection, 'open transactions');
  const transactions = await readTransactions(connection, first);
  if (transactions === null) return null;
  const open = [...statements, ...transactions.map((each) => withEarlierStart(each, statements))];
  if (open.length <= REMEMBERED_MAX) return open;
  return [{ id: 'many', thread: '', start: open.map((each) => each.start).reduce(earliest) }];
}

/** Null is before everything. */
function earliest(left: string | null, right: string | null): string | null {
  return left === null || right === null ? null : left < right ? left : right;
}

function withEarlierStart(transaction: OpenTransaction, statements: readonly OpenTransaction[]): OpenTransaction {
  const statement = statements.find((each) => each.thread === transaction.thread);
  return statement === undefined ? transaction : { ...transaction, start: earliest(statement.start, transaction.start) };
}

const SAME_STATEMENT_MS = 2_000;

function instant(text: string): number {
  return Date.parse(`${text.replace(' ', 'T')}Z`);
}

/** Whether a remembered one is among those that are open now. When in doubt it is not: it is then read for, once more. */
function isStillOpen(remembered: OpenTransaction, now: readonly OpenTransaction[]): boolean {
  return now.some((each) => {
    if (each.id !== remembered.id || each.thread !== remembered.thread || each.id === 'many') return false;
    if (each.id !== 's') return true;
    return each.start !== null && remembered.start !== null && Math.abs(instant(each.start) - instant(remembered.start)) <= SAME_STATEMENT_MS;
  });
}

export interface Compared {
  /** To be remembered: those open now, with the earliest start that is known of each. */
  readonly open: readonly OpenTransaction[];
  /** Those remembered that have ended: their rows are visible now, or never will be. */
  readonly ended: readonly OpenTransaction[];
}

/**
 * Compares what a position remembers with what is open now. A transaction inherits the start of the statement that its thread was
 * running when last seen. One without a known start began after `clock` (when the position was taken) or is as old as the
 * oldest remembered.
 */
export function compareOpen(remembered: readonly OpenTransaction[], now: readonly OpenTransaction[], clock: string | null): Compared {
  const oldest = remembered.reduce<string | null>((least, each) => earliest(least, each.start), clock);
  const open = now.map((each) => {
    if (each.start === null) return { ...each, start: oldest };
    const before = remembered.find((other) => other.thread === each.thread && (other.id === each.id || (other.id === 's' && each.id !== 's')));
    if (before === undefined || each.id === 's') return each;
    return { ...each, start: earliest(before.start, each.start) };
  });
  return { open, ended: remembered.filter((each) => !isStillOpen(each, now)) };
}
