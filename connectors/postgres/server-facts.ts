import type { ServerFacts } from '../../schemas/table.ts';
import type { PostgresClient } from './client.ts';

/** What `check` shows, with what each missing privilege costs. */
export async function readServerFacts(client: PostgresClient): Promise<ServerFacts> {
  const row = await client.row('the server', `SELECT current_setting('server_version') AS version, current_database() AS database, current_user AS who, pg_is_in_recovery() AS standby,
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_sessions, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super,
    (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database() AND prepared < now() - interval '1 hour') AS prepared`);
  const warnings: string[] = [];
  if (row.sees_sessions === 'f' && row.super === 'f') {
    warnings.push(`no pg_read_all_stats: open transactions of other users are hidden, so each read after a write looks through whole tables (GRANT pg_read_all_stats TO ${row.who})`);
  }
  if (row.standby === 't') warnings.push('a standby: open transactions of the primary are hidden, so each read after a write looks through whole tables');
  if (row.prepared !== '0') warnings.push('a prepared transaction is older than an hour: rows written since then are read again in each run until it ends');
  return {
    product: 'PostgreSQL',
    version: row.version ?? '',
    database: row.database ?? '',
    user: row.who ?? '',
    timezone: client.server.timezone,
    identity: client.server.identity,
    warnings,
  };
}
