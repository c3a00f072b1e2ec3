/** What a session says of itself when it opens, and what is pinned for its life. */
import type pg from 'pg';
import type { SessionOptions } from '../connector.ts';
import type { PostgresConnection } from './connection.ts';
import { OWN_BACKEND, type BackendId } from './session-view.ts';

const LOCK_TIMEOUT_MS = 10_000;
/** Between the statements of one transaction only round trips pass. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000;

/** Session settings that fix the text of every value and forbid writes; none depends on a role's or a database's defaults. */
const PINNED: Readonly<Record<string, string>> = {
  default_transaction_read_only: 'on',
  TimeZone: 'UTC',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  extra_float_digits: '3',
  bytea_output: 'hex',
  xmloption: 'content',
  client_encoding: 'UTF8',
  lc_monetary: 'C',
  standard_conforming_strings: 'on',
  row_security: 'off',
  quote_all_identifiers: 'off',
};

/** From this version on a server looks whether the client of a running statement is still there. */
const LOST_CLIENT_VERSION_MIN = 140_000;
const LOST_CLIENT_LOOK = '2s';

/** Facts read once when the session opens. */
export interface ServerIdentity extends BackendId {
  /** Server version as a number: 150018. */
  readonly version: number;
  /** System identifier and database; a logical copy of the data has another one. */
  readonly identity: string;
  /** The server's (or user's) own TimeZone setting, before this session pinned UTC. */
  readonly timezone: string;
}

const FACTS = `SELECT current_setting('server_version_num') AS version, current_setting('TimeZone') AS timezone,
    (SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()) AS identity,
    own.* FROM (SELECT) one LEFT JOIN (${OWN_BACKEND}) own ON true`;

/** Asks for the facts, then pins. In two questions: a session is opened for every poll. */
export async function pinSession(driver: pg.Client, { schema }: PostgresConnection, { statementTimeoutMs }: SessionOptions): Promise<ServerIdentity> {
  const { rows } = await driver.query<Record<string, string | null>>(FACTS);
  const { version, timezone, identity, pid, backend_start: backendStart, server_start: serverStart } = rows[0] ?? {};
  const pin = (settings: Readonly<Record<string, string>>) => driver.query(pinning(settings, schema));
  const settings: Readonly<Record<string, string>> = {
    ...PINNED,
    statement_timeout: String(statementTimeoutMs),
    lock_timeout: String(LOCK_TIMEOUT_MS),
    idle_in_transaction_session_timeout: String(IDLE_IN_TRANSACTION_TIMEOUT_MS),
  };
  if (Number(version) < LOST_CLIENT_VERSION_MIN) await pin(settings);
  // A server that can't check (its platform lacks the call) only notices a lost client later.
  else await pin({ ...settings, client_connection_check_interval: LOST_CLIENT_LOOK }).catch(() => pin(settings));
  return { pid: pid ?? '', backendStart: backendStart ?? '', serverStart: serverStart ?? '', version: Number(version), identity: identity ?? '', timezone: timezone ?? 'UTC' };
}

/** `schema`: to be searched first. */
function pinning(settings: Readonly<Record<string, string>>, schema: string | undefined): { readonly text: string; readonly values: string[] } {
  const path = schema === undefined ? [] : ["set_config('search_path', concat_ws(', ', quote_ident($1), nullif(current_setting('search_path'), '')), false)"];
  const values = schema === undefined ? [] : [schema];
  const calls = Object.entries(settings).map(([name, value]) => `set_config('${name}', $${values.push(value)}, false)`);
  return { text: `SELECT ${[...path, ...calls].join(', ')}`, values };
}
