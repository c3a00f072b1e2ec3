/** Sessions of the destination as its server shows them, asked on a short connection of its own. */
import pg from 'pg';
import type { ServerView } from './line-verdict.ts';

/** One session of one server: a process id alone is given out again. */
export interface BackendId {
  readonly pid: number;
  /** Seconds since 1970 as text. */
  readonly startedAt: string;
}

/** To be asked by a session about itself. */
export const OWN_BACKEND = 'select pid, extract(epoch from backend_start)::text as "startedAt" from pg_stat_activity where pid = pg_backend_pid()';

const IS_ONE_OF = '(pid, extract(epoch from backend_start)::text) in (select pid, started from unnest($1::int[], $2::text[]) as t (pid, started))';

const VIEWS = `select pid, coalesce(state like 'idle%', false) as idle, coalesce(state like 'idle%', false) or coalesce(wait_event in ('ClientRead', 'ClientWrite'), false) as waits,
    concat_ws('|', state, state_change, query_start, wait_event, (select bytes_processed from pg_stat_progress_copy c where c.pid = a.pid)) as mark
  from pg_stat_activity a where ${IS_ONE_OF}`;

export type Views = ReadonlyMap<BackendId, ServerView>;

export class SessionViews {
  readonly #connection: pg.ClientConfig;
  readonly #answerMs: number;

  constructor(connection: pg.ClientConfig, answerMs: number) {
    [this.#connection, this.#answerMs] = [connection, answerMs];
  }

  /** `unanswered`: nothing came back in time. `refused`: the server lives and lets nobody in, which says nothing of its sessions. */
  async ask(backends: readonly BackendId[]): Promise<Views | 'unanswered' | 'refused'> {
    try {
      const rows = await this.#query<ServerView & { pid: number }>(VIEWS, backends);
      return new Map(backends.flatMap((backend) => rows.filter(({ pid }) => pid === backend.pid).map((view) => [backend, view] as const)));
    } catch (error) {
      return error instanceof pg.DatabaseError ? 'refused' : 'unanswered';
    }
  }

  /** Ends a session that nobody listens to, so that its locks are free for the next attempt. Never throws. */
  async end(backend: BackendId): Promise<void> {
    await this.#query(`select pg_terminate_backend(pid) from pg_stat_activity where ${IS_ONE_OF}`, [backend]).catch(() => undefined);
  }

  async #query<Row extends object>(sql: string, backends: readonly BackendId[]): Promise<Row[]> {
    const client = new pg.Client(this.#connection);
    client.on('error', () => undefined);
    const timer = setTimeout(() => client.connection.stream.destroy(new Error('no answer in time')), this.#answerMs);
    try {
      await client.connect();
      return (await client.query<Row>(sql, [backends.map(({ pid }) => pid), backends.map(({ startedAt }) => startedAt)])).rows;
    } finally {
      clearTimeout(timer);
      void client.end().catch(() => undefined);
    }
  }
}
