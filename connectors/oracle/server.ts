/** What the server says of itself, and what it lets this user see of other transactions. */
import type { ServerFacts } from '../../schemas/table.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { OracleClient } from './client.ts';
import { serverText, type ServerIdentity } from './identity.ts';
import { Binds } from './binds.ts';

const NAMES = "SELECT SYS_CONTEXT('USERENV', 'DB_NAME'), SYS_CONTEXT('USERENV', 'CON_NAME'), SYS_CONTEXT('USERENV', 'SESSION_USER'), SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA'), TO_CHAR(SYSTIMESTAMP, 'TZH:TZM') FROM DUAL";

const DATABASE = 'SELECT TO_CHAR(dbid), TO_CHAR(current_scn), TO_CHAR(resetlogs_change#), database_role FROM v$database';

/** `TADDR` is set as soon as the session has a transaction; 2, 6 and 189 are INSERT, UPDATE and MERGE. */
const RUNNING = "SELECT TO_CHAR(MAX(last_call_et)), TO_CHAR(SYSDATE - MAX(last_call_et) / 86400 - 2, 'SYYYY-MM-DD HH24:MI:SS') FROM gv$session WHERE type = 'USER' AND status = 'ACTIVE' AND taddr IS NULL AND command IN (2, 6, 189)";

const OPEN = "SELECT TO_CHAR(MIN(start_scn)), TO_CHAR(MIN(start_date) - 2, 'SYYYY-MM-DD HH24:MI:SS') FROM gv$transaction";

const VIEWS = ['V_$DATABASE', 'GV_$TRANSACTION', 'GV_$SESSION'] as const;

export interface Names {
  readonly database: string;
  readonly container: string;
  readonly user: string;
  readonly schema: string;
  readonly timezone: string;
}

/** Transactions and statements of other sessions at one moment. */
export interface OpenWork {
  readonly oldestScn: string | null;
  /** Two days before the oldest open transaction began, as a DATE's text: in no zone did a clock then show less. */
  readonly oldestDate: string | null;
  /** Seconds since the oldest running statement that may write outside of a transaction began; null: there is none. */
  readonly runningSeconds: number | null;
  /** Two days before that, as a DATE's text. */
  readonly runningDate: string | null;
}

/** The server as one session sees it. */
export class OracleServer {
  readonly #client: OracleClient;
  #names: Names | undefined;
  #blindness: Promise<string | null> | undefined;

  constructor(client: OracleClient) {
    this.#client = client;
  }

  async names(): Promise<Names> {
    if (this.#names !== undefined) return this.#names;
    const [database = null, container = null, user = null, schema = null, timezone = null] = await this.#client.texts(new Binds().statement(NAMES), 'the server');
    this.#names = { database: database ?? '', container: container ?? '', user: user ?? '', schema: schema ?? '', timezone: timezone ?? '' };
    return this.#names;
  }

  async identity(): Promise<ServerIdentity> {
    const { database, container } = await this.names();
    const [dbid = null, scn = null, resetlogs = null] = (await this.#permitted(DATABASE)) ?? [];
    return { database, container, dbid, scn, resetlogs };
  }

  /** Why open transactions can't be seen here; null if they can. Asked once for a session. */
  blindness(): Promise<string | null> {
    this.#blindness ??= this.#findBlindness();
    return this.#blindness;
  }

  async #findBlindness(): Promise<string | null> {
    const database = await this.#permitted(DATABASE);
    if (database === null || (await this.#permitted(OPEN)) === null || (await this.#permitted(RUNNING)) === null) {
      return `open transactions can't be seen: grant SELECT on ${VIEWS.join(', ')}, or SELECT_CATALOG_ROLE`;
    }
    return database[3] === 'PRIMARY' ? null : "this is a standby: the primary's open transactions can't be seen";
  }

  /** Statements first: one that gets its transaction in between then stands in the second answer. */
  async openWork(): Promise<OpenWork> {
    const [running = null, runningDate = null] = await this.#client.texts(new Binds().statement(RUNNING), 'gv$session');
    const [oldestScn = null, oldestDate = null] = await this.#client.texts(new Binds().statement(OPEN), 'gv$transaction');
    return { oldestScn, oldestDate, runningSeconds: running === null ? null : Number(running), runningDate };
  }

  async facts(): Promise<ServerFacts> {
    const { user, timezone, container } = await this.names();
    const identity = await this.identity();
    const blind = await this.blindness();
    return {
      product: 'Oracle Database',
      version: this.#client.serverVersion,
      database: container,
      user,
      timezone,
      identity: serverText(identity),
      warnings: blind === null ? [] : [`${blind}; without it a configured overlap is read again, and polls always read`],
    };
  }

  /** The first row of a view that the user may lack a privilege for; null then. */
  async #permitted(sql: string): Promise<readonly (string | null)[] | null> {
    try {
      return await this.#client.texts(new Binds().statement(sql), 'the server');
    } catch (error) {
      const denied = error instanceof TidemarkError && (error.code === 'source.table_missing' || error.code === 'source.privilege_missing');
      if (denied) return null;
      throw error;
    }
  }
}
