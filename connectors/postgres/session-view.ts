/** Sessions of a source as its server shows them, asked on a short connection of its own. */
import { Socket } from 'node:net';
import pg from 'pg';
import type { SessionOptions } from '../connector.ts';
import type { LineView } from '../silent-line.ts';
import type { PostgresConnection } from './connection.ts';
import { driverSettings } from './driver-settings.ts';

/** One session of one server: a process id alone is given out again, and behind one address may stand several servers. */
export interface BackendId {
  readonly pid: string;
  readonly backendStart: string;
  readonly serverStart: string;
}

const utc = (time: string): string => `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00"')`;

/** To be asked by a session about itself, whatever its settings for times are. */
export const OWN_BACKEND = `SELECT pid, ${utc('backend_start')} AS backend_start, ${utc('pg_postmaster_start_time()')} AS server_start FROM pg_stat_activity WHERE pid = pg_backend_pid()`;

/** A user sees the state of its own sessions without any privilege. */
const VIEW = `SELECT CASE WHEN pg_postmaster_start_time() <> $3::timestamptz THEN 'works' ELSE coalesce(
  (SELECT CASE WHEN state LIKE 'idle%' OR wait_event IN ('ClientRead', 'ClientWrite') THEN 'waits' ELSE 'works' END FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2), 'gone') END AS view`;
const END = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2 AND pg_postmaster_start_time() = $3::timestamptz';

const END_WITHIN_MS = 5_000;

/** Throws where the server lets nobody in. */
export async function viewBackend(connection: PostgresConnection, options: SessionOptions, backend: BackendId, signal: AbortSignal): Promise<LineView> {
  const [row] = await ask(connection, options, backend, VIEW, signal);
  return row?.['view'] === 'gone' || row?.['view'] === 'waits' ? row['view'] : 'works';
}

/** Ends a session that nobody listens to: one that waits for its client keeps its snapshot for ever. Never throws. */
export async function endBackend(connection: PostgresConnection, options: SessionOptions, backend: BackendId): Promise<void> {
  await ask(connection, options, backend, END, AbortSignal.timeout(END_WITHIN_MS)).catch(() => undefined);
}

async function ask(connection: PostgresConnection, options: SessionOptions, { pid, backendStart, serverStart }: BackendId, sql: string, signal: AbortSignal): Promise<readonly Record<string, string>[]> {
  const socket = new Socket();
  const client = new pg.Client(driverSettings(connection, options, socket));
  client.on('error', () => undefined);
  const cut = (): void => void socket.destroy();
  signal.addEventListener('abort', cut, { once: true });
  try {
    signal.throwIfAborted();
    await client.connect();
    return (await client.query<Record<string, string>>(sql, [pid, backendStart, serverStart])).rows;
  } finally {
    signal.removeEventListener('abort', cut);
    void client.end().catch(() => undefined);
  }
}
