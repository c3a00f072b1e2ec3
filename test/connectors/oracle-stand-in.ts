/**
 * A PostgreSQL that poses as Oracle behind the connector's driver seam, so that the statements the connector makes run for
 * real: snapshots, open transactions, keysets, binds. Functions, views and pseudo-columns of Oracle's names stand in a schema
 * that is searched before PostgreSQL's own. It proves the way of the watermark; what only Oracle's own types and catalog do is
 * pinned elsewhere.
 *
 * A commit's SCN is its commit time in microseconds, a transaction's start SCN the time of its BEGIN. When the connector asks for
 * the SCN of a snapshot, the stand-in exports one of its own under that number, and reads `AS OF SCN` in it; the last few are
 * kept, older ones are gone as where undo has been overwritten.
 */
import pg from 'pg';
import { shortText, type OracleBind, type OracleConnection, type OracleDbType, type OracleDriver, type OracleExecuteOptions, type OracleResult, type OracleRow } from '../../connectors/oracle/driver.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { onFileEnd } from '../support/release.ts';

const MICROSECONDS = (moment: string): string => `(extract(epoch FROM ${moment}) * 1000000)::bigint`;

const SHIM = `
CREATE SCHEMA oracle;
CREATE FUNCTION oracle.pattern(fmt text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT replace(replace(replace(fmt, 'SYYYY', 'YYYY'), 'FF9', 'US"000"'), 'FF6', 'US') $$;
CREATE FUNCTION oracle.to_char(value timestamp, fmt text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN fmt LIKE 'SYYYY%' THEN ' ' ELSE '' END || pg_catalog.to_char(value, oracle.pattern(fmt)) $$;
CREATE FUNCTION oracle.to_char(value timestamptz, fmt text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT oracle.to_char(value AT TIME ZONE 'UTC', fmt) $$;
CREATE FUNCTION oracle.to_char(value numeric, fmt text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT trim_scale(value)::text $$;
CREATE FUNCTION oracle.to_char(value numeric) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT value::text $$;
CREATE FUNCTION oracle.to_number(value text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT value::numeric $$;
CREATE FUNCTION oracle.to_date(value text, fmt text) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$ SELECT trim(value)::timestamp(0) $$;
CREATE FUNCTION oracle.to_timestamp(value text, fmt text) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$ SELECT trim(value)::timestamp $$;
CREATE FUNCTION oracle.from_tz(value timestamp, zone text) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT value AT TIME ZONE 'UTC' $$;
CREATE FUNCTION oracle.sys_extract_utc(value timestamptz) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$ SELECT value AT TIME ZONE 'UTC' $$;
CREATE FUNCTION oracle.numtodsinterval(value numeric, unit text) RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT make_interval(secs => value::float8) $$;
CREATE TABLE oracle.incarnation (dbid bigint, resetlogs_change bigint, scn_offset bigint, role text);
INSERT INTO oracle.incarnation VALUES (1234567890, 1, 0, 'PRIMARY');
CREATE FUNCTION oracle.sys_context(namespace text, name text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT CASE name WHEN 'DB_NAME' THEN 'ORCL' WHEN 'CON_NAME' THEN 'ORCLPDB1' WHEN 'DATABASE_ROLE' THEN (SELECT role FROM oracle.incarnation) ELSE 'BANK' END $$;
CREATE VIEW oracle.v_database AS SELECT dbid::numeric, (${MICROSECONDS('clock_timestamp()')} + scn_offset)::numeric AS current_scn, resetlogs_change::numeric, role AS database_role FROM oracle.incarnation;
CREATE VIEW oracle.gv_transaction AS SELECT ${MICROSECONDS('xact_start')}::numeric AS start_scn, xact_start AT TIME ZONE 'UTC' AS start_date
  FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database();
CREATE TABLE oracle.running (seconds numeric);
CREATE VIEW oracle.gv_session AS SELECT seconds AS last_call_et, 'USER' AS type, 'ACTIVE' AS status, NULL::text AS taddr, 2 AS command FROM oracle.running;
CREATE TABLE oracle.all_tab_privs (grantee text, table_schema text, table_name text, privilege text);
CREATE VIEW oracle.session_privs AS SELECT privilege FROM oracle.all_tab_privs WHERE table_name IS NULL;
CREATE VIEW oracle.session_roles AS SELECT 'NONE'::text AS role;
CREATE SCHEMA "BANK";
`;

const REPLACEMENTS: readonly (readonly [RegExp, string])[] = [
  [/ AS OF SCN TO_NUMBER\(:b\d+\)/g, ''],
  [/\bDBMS_FLASHBACK\.GET_SYSTEM_CHANGE_NUMBER\b/g, '(SELECT current_scn FROM v_database)'],
  [/\bt\.ORA_ROWSCN\b/g, `(${MICROSECONDS('pg_xact_commit_timestamp(t.xmin)')}::numeric)`],
  [/\bSYSDATE - MAX\(last_call_et\) \/ 86400 - 2/g, "localtimestamp - make_interval(secs => MAX(last_call_et)::float8) - interval '2 days'"],
  [/\bMIN\(start_date\) - 2/g, "MIN(start_date) - interval '2 days'"],
  [/\bTIMESTAMP\(9\) WITH LOCAL TIME ZONE\b/g, 'timestamptz'],
  [/\bSYSTIMESTAMP\b/g, 'clock_timestamp()'],
  [/\bresetlogs_change#/g, 'resetlogs_change'],
  [/\bv\$database\b/g, 'v_database'],
  [/\bgv\$(transaction|session)\b/g, 'gv_$1'],
  [/ FROM DUAL\b/g, ''],
];

const type = (num: number, name: string): OracleDbType => ({ num, name });

/** SQLSTATE → the code that Oracle would give. */
const CODES: Readonly<Record<string, string>> = { '57014': 'ORA-01013', '42501': 'ORA-01031', '42P01': 'ORA-00942', '42703': 'ORA-00904' };

/** Exported snapshots that are kept. */
const SNAPSHOTS_MAX = 4;

const BOOLEAN_OID = 16;
const BYTEA_OID = 17;
const FLOAT_OIDS = new Set([700, 701]);

const asDriver = {
  getTypeParser: (oid: number) => (text: string | Buffer) => {
    const value = text.toString();
    if (oid === BOOLEAN_OID) return value === 't';
    if (oid === BYTEA_OID) return Buffer.from(value.slice(2), 'hex');
    return FLOAT_OIDS.has(oid) ? Number(value) : value;
  },
};

export class OracleStandIn implements OracleDriver {
  readonly OUT_FORMAT_ARRAY = 4001;
  readonly BIND_IN = 3001;
  readonly DB_TYPE_VARCHAR = type(2001, 'DB_TYPE_VARCHAR');
  readonly DB_TYPE_NVARCHAR = type(2002, 'DB_TYPE_NVARCHAR');
  readonly DB_TYPE_NUMBER = type(2010, 'DB_TYPE_NUMBER');
  /** Statements as the connector sent them. */
  readonly statements: string[] = [];
  /** Runs before each statement, for what happens at the source in between. */
  beforeStatement: (sql: string) => Promise<void> = async () => undefined;
  /** Tables of BANK without the privilege to look back; `*`: all. */
  readonly noFlashback = new Set<string>();
  readonly #database: PostgresDatabase;
  readonly #exported = new Map<string, { readonly id: string; readonly holder: pg.Client }>();

  private constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  /** Keeps what is committed now under the number of an SCN. */
  async keepSnapshot(scn: string, holder: pg.Client, id: string): Promise<void> {
    this.#exported.set(scn, { id, holder });
    for (const oldest of [...this.#exported.keys()].slice(0, -SNAPSHOTS_MAX)) await this.forget(oldest);
  }

  /** The id of the snapshot at an SCN; undefined where it is gone. */
  snapshotAt(scn: string): string | undefined {
    return this.#exported.get(scn)?.id;
  }

  /** Undo of these snapshots, or of all, is overwritten. */
  async forget(...scns: readonly string[]): Promise<void> {
    for (const scn of scns.length === 0 ? [...this.#exported.keys()] : scns) {
      await this.#exported.get(scn)?.holder.end();
      this.#exported.delete(scn);
    }
  }

  async newClient(): Promise<pg.Client> {
    const client = new pg.Client({ ...this.#database.clientOptions(), types: asDriver, options: '-c timezone=UTC -c search_path=oracle,"BANK",pg_catalog' });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  /** Needs a server with `track_commit_timestamp`. */
  static async make(database: PostgresDatabase): Promise<OracleStandIn> {
    await database.query(SHIM);
    const standIn = new OracleStandIn(database);
    onFileEnd(() => standIn.forget());
    return standIn;
  }

  async getConnection(): Promise<OracleConnection> {
    const client = await this.newClient();
    const pid = Number((await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
    return new StandInConnection(this, client, () => this.#database.query(`SELECT pg_cancel_backend(${pid})`));
  }
}

function oracleError(code: string): Error {
  return Object.assign(new Error('as Oracle would say'), { code });
}

class StandInConnection implements OracleConnection {
  callTimeout = 0;
  module = '';
  action = '';
  clientInfo = '';
  readonly oracleServerVersionString = '19.0.0.0.0';
  readonly #driver: OracleStandIn;
  readonly #client: pg.Client;
  readonly #cancel: () => Promise<unknown>;

  constructor(driver: OracleStandIn, client: pg.Client, cancel: () => Promise<unknown>) {
    this.#driver = driver;
    this.#client = client;
    this.#cancel = cancel;
  }

  async execute(sql: string, binds: Readonly<Record<string, OracleBind>>, options: OracleExecuteOptions): Promise<OracleResult> {
    this.#driver.statements.push(sql);
    await this.#driver.beforeStatement(sql);
    if (sql.startsWith('ALTER SESSION')) return {};
    if (sql === 'SET TRANSACTION READ ONLY') {
      await this.#client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await this.#client.query('SELECT 1');
      return {};
    }
    const rows = await this.#rows(sql, binds);
    if (!options.resultSet) return { rows };
    return { resultSet: { getRows: async (count) => rows.splice(0, count), close: async () => undefined } };
  }

  async #rows(sql: string, binds: Readonly<Record<string, OracleBind>>): Promise<OracleRow[]> {
    if (/^SELECT TO_CHAR\((current_scn|DBMS_FLASHBACK)/.test(sql)) return this.#scn(sql, binds);
    const past = /"(\w+)" AS OF SCN TO_NUMBER\(:(b\d+)\)/.exec(sql);
    return past === null ? this.#query(this.#client, sql, binds) : this.#lookBack(sql, binds, past[1] as string, binds[past[2] as string]?.val ?? '');
  }

  /** The number and the snapshot are had in one transaction, which stays open for those who read in it. */
  async #scn(sql: string, binds: Readonly<Record<string, OracleBind>>): Promise<OracleRow[]> {
    const holder = await this.#driver.newClient();
    try {
      await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const id = String((await holder.query('SELECT pg_export_snapshot() AS id')).rows[0].id);
      const rows = await this.#query(holder, sql, binds);
      await this.#driver.keepSnapshot(shortText(rows[0]?.[0] ?? null) ?? '', holder, id);
      return rows;
    } catch (error) {
      await holder.end();
      throw error;
    }
  }

  async #lookBack(sql: string, binds: Readonly<Record<string, OracleBind>>, table: string, scn: string): Promise<OracleRow[]> {
    if (this.#driver.noFlashback.has(table) || this.#driver.noFlashback.has('*')) throw oracleError('ORA-01031');
    const id = this.#driver.snapshotAt(scn);
    if (id === undefined) throw oracleError('ORA-01555');
    await this.#client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '${id}'`);
    try {
      return await this.#query(this.#client, sql, binds);
    } finally {
      await this.#client.query('ROLLBACK');
    }
  }

  async #query(client: pg.Client, sql: string, binds: Readonly<Record<string, OracleBind>>): Promise<OracleRow[]> {
    const translated = REPLACEMENTS.reduce((text, [pattern, by]) => text.replace(pattern, by.replaceAll('$', (sign, at: number) => (by[at + 1] === '1' ? sign : '$$'))), sql);
    const names = Object.keys(binds).filter((name) => new RegExp(`:${name}\\b`).test(translated));
    const text = translated.replace(/:(b\d+)\b/g, (_, name: string) => `$${names.indexOf(name) + 1}::text`);
    try {
      const result = await client.query({ text, values: names.map((name) => binds[name]?.val), rowMode: 'array' });
      return result.rows as OracleRow[];
    } catch (error) {
      const code = error instanceof pg.DatabaseError ? (error.code ?? '') : '';
      if (CODES[code] === undefined) throw error;
      throw oracleError(CODES[code]);
    }
  }

  async rollback(): Promise<void> {
    await this.#client.query('ROLLBACK');
  }

  async break(): Promise<void> {
    await this.#cancel();
  }

  async close(): Promise<void> {
    await this.#client.end();
  }
}
