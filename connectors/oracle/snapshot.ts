/**
 * The snapshot of one read: flashback queries at one SCN (`AS OF SCN`), or one READ ONLY transaction.
 *
 * Both show one moment to all statements of the read. `AS OF SCN` needs a privilege on each table and the server's current SCN;
 * a transaction needs neither. A snapshot serves one read and is new for each attempt: batches of a stream are ordered by their
 * snapshots (docs/adr/0012-a-snapshot-for-each-read.md).
 */
import { TidemarkError } from '../../schemas/errors.ts';
import type { StreamRead } from '../connector.ts';
import { Binds } from './binds.ts';
import type { OracleClient } from './client.ts';
import { isoClock, UTC_NOW } from './clock.ts';
import { ROW_SCN } from './columns.ts';
import { quoteTable } from './names.ts';
import { fromAt } from './statement.ts';

/** `connection.snapshot`; undefined: `scn` for each table whose flashback the user may, else `transaction`. */
export type SnapshotChoice = 'scn' | 'transaction' | undefined;

export interface Snapshot {
  /** Null: the session's READ ONLY transaction. */
  readonly scn: string | null;
  /** The server's clock, ISO 8601 UTC, at or just before the SCN; null: not asked yet. */
  readonly asOf: string | null;
}

interface CurrentScn {
  readonly scn: string;
  readonly asOf: string;
  /** `PRIMARY`, `PHYSICAL STANDBY`, ... */
  readonly role: string;
}

const IN_TRANSACTION: Snapshot = { scn: null, asOf: null };

/** Both are exact. TIMESTAMP_TO_SCN, which anybody may call, is not: it may lie seconds before what the run's questions saw. */
const CURRENT_SCN = [
  `SELECT TO_CHAR(current_scn), ${isoClock(UTC_NOW)}, database_role FROM v$database`,
  `SELECT TO_CHAR(DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER), ${isoClock(UTC_NOW)}, SYS_CONTEXT('USERENV', 'DATABASE_ROLE') FROM DUAL`,
] as const;

/** ALL_TAB_PRIVS lists what the user granted to others, too. */
const PRIVILEGES = `SELECT TO_CHAR((SELECT COUNT(*) FROM session_privs p WHERE p.privilege = 'FLASHBACK ANY TABLE')), TO_CHAR((SELECT COUNT(DISTINCT g.table_schema || '.' || g.table_name) FROM all_tab_privs g
WHERE g.privilege = 'FLASHBACK' AND (g.grantee IN (SYS_CONTEXT('USERENV', 'SESSION_USER'), 'PUBLIC') OR g.grantee IN (SELECT r.role FROM session_roles r)))) FROM DUAL`;

const SCN_GRANT = 'SELECT on V_$DATABASE (or EXECUTE on DBMS_FLASHBACK)';
const TABLE_GRANT = 'FLASHBACK on the tables (or FLASHBACK ANY TABLE)';

/** Takes the snapshots of one session. */
export class Snapshots {
  readonly #client: OracleClient;
  readonly #choice: SnapshotChoice;
  #question: Promise<string | null> | undefined;
  /** By quoted name, for as long as the session lives. */
  readonly #mayLookBack = new Map<string, boolean>();

  constructor(client: OracleClient, choice: SnapshotChoice) {
    this.#client = client;
    this.#choice = choice;
  }

  /**
   * A new snapshot, later than every answer that the session has had. It ends with the next call of {@link OracleClient.endSnapshot}.
   * Throws `source.privilege_missing` where `snapshot: scn` can't be kept.
   */
  async take(stream: StreamRead): Promise<Snapshot> {
    await this.#client.endSnapshot();
    const now = await this.#scnFor(stream);
    if (now !== null) return { scn: now.scn, asOf: now.asOf };
    await this.#client.snapshot();
    return IN_TRANSACTION;
  }

  /** Null: a transaction it is. */
  async #scnFor(stream: StreamRead): Promise<CurrentScn | null> {
    // Flashback queries have no ORA_ROWSCN.
    if (this.#choice === 'transaction' || stream.cursor === ROW_SCN) return null;
    const table = quoteTable(stream.table);
    if (this.#mayLookBack.get(table) === false) return null;
    const now = await this.#now();
    if (now === null) {
      if (this.#choice === 'scn') throw refused("the server's current SCN", SCN_GRANT, undefined);
      return null;
    }
    if (this.#choice === undefined && now.role !== 'PRIMARY') return null;
    const may = this.#mayLookBack.get(table) ?? (await this.#probe(stream, now));
    if (may !== null) this.#mayLookBack.set(table, may);
    return may === true ? now : null;
  }

  async #now(): Promise<CurrentScn | null> {
    this.#question ??= this.#findQuestion();
    const question = await this.#question;
    if (question === null) return null;
    const [scn = null, asOf = null, role = null] = await this.#client.texts(new Binds().statement(question), 'the server');
    return scn === null ? null : { scn, asOf: asOf ?? '', role: role ?? '' };
  }

  async #findQuestion(): Promise<string | null> {
    for (const question of CURRENT_SCN) {
      const [scn = null] = (await this.#permitted(question)) ?? [];
      if (scn !== null) return question;
    }
    return null;
  }

  /**
   * Whether a flashback query of the table is possible: the privilege is there, and the table is of a kind that has a past. Null:
   * not now, since the server takes the SCN for one before the table's last DDL. Reads no row.
   */
  async #probe(stream: StreamRead, at: CurrentScn): Promise<boolean | null> {
    const binds = new Binds();
    const name = `table ${stream.table.schema}.${stream.table.name}`;
    try {
      await this.#client.rows(binds.statement(`SELECT 1 ${fromAt(binds, stream.table, at)} WHERE 1 = 0`), name);
      return true;
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error;
      if (this.#choice === undefined && error.code === 'source.read_interrupted') return null;
      if (error.retry !== 'permanent') throw error;
      if (this.#choice === undefined) return false;
      throw error.code === 'source.privilege_missing' ? refused(name, 'FLASHBACK on it (or FLASHBACK ANY TABLE)', error) : error;
    }
  }

  /** For `check`: which of the two is used, and what the other takes. */
  async describe(): Promise<string> {
    if (this.#choice === 'transaction') return `reads take READ ONLY transactions, as connection.snapshot says; snapshot: scn needs ${SCN_GRANT} and ${TABLE_GRANT}`;
    await this.#client.endSnapshot();
    const now = await this.#now();
    if (now === null && this.#choice === 'scn') return `reads will fail: snapshot: scn needs the current SCN; grant ${SCN_GRANT} and ${TABLE_GRANT}`;
    if (now === null) return `reads take READ ONLY transactions; for AS OF SCN grant ${SCN_GRANT} and ${TABLE_GRANT}`;
    if (this.#choice === undefined && now.role !== 'PRIMARY') return 'reads take READ ONLY transactions, since this is a standby; snapshot: scn asks for AS OF SCN';
    const [any = null, tables = null] = (await this.#permitted(PRIVILEGES)) ?? [];
    if (any !== null && any !== '0') return 'reads are AS OF SCN; READ ONLY transactions need no grant: snapshot: transaction';
    const others = this.#choice === 'scn' ? 'reads of others will fail' : 'others in READ ONLY transactions';
    return `the user's own tables and ${tables ?? '0'} with FLASHBACK granted are read AS OF SCN, ${others}; grant FLASHBACK on those, or FLASHBACK ANY TABLE`;
  }

  async #permitted(sql: string): Promise<readonly (string | null)[] | null> {
    try {
      return await this.#client.texts(new Binds().statement(sql), 'the server');
    } catch (error) {
      // A package that may not be executed is an unknown name, not a missing privilege.
      if (error instanceof TidemarkError && error.retry === 'permanent') return null;
      throw error;
    }
  }
}

function refused(what: string, grant: string, cause: TidemarkError | undefined): TidemarkError {
  return new TidemarkError('source.privilege_missing', `${what}: The user may not read AS OF SCN, as connection.snapshot asks.`, { hint: `Grant ${grant}, or leave snapshot out.`, cause });
}
