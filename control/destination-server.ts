import type { Session } from '../destinations/postgres/session.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { ServerFacts } from '../schemas/table.ts';

/** What `check` shows of a server. */
export type CheckedServer = Pick<ServerFacts, 'product' | 'version' | 'database' | 'user' | 'timezone'>;

const SERVER_VERSION_MIN = 150_000;

/**
 * What the destination says of itself and what its user may not do, without creating anything there.
 * Throws `target.version_unsupported`, `target.read_only`.
 */
export async function readServer(session: Session): Promise<CheckedServer & { readonly warnings: readonly string[] }> {
  const { rows } = await session.query<{ version: string; number: number; database: string; who: string; timezone: string; readonly: boolean; creates: boolean; prepared: boolean; owns: boolean }>(
    `select current_setting('server_version') as version, current_setting('server_version_num')::int as number, current_database() as database, current_user as who,
       current_setting('TimeZone') as timezone, current_setting('transaction_read_only') = 'on' as readonly, has_database_privilege(current_database(), 'CREATE') as creates,
       to_regnamespace('tidemark') is not null as prepared,
       coalesce((select has_schema_privilege(n.oid, 'USAGE') and has_schema_privilege(n.oid, 'CREATE') from pg_namespace n where n.nspname = 'tidemark'), true) as owns`,
  );
  const row = rows[0]!;
  if (row.number < SERVER_VERSION_MIN) {
    throw new TidemarkError('target.version_unsupported', `The destination is PostgreSQL ${Math.floor(row.number / 10_000)}; 15 or later is needed.`, { hint: 'Point destination.url at a newer server.' });
  }
  if (row.readonly) {
    throw new TidemarkError('target.read_only', 'The destination is read-only at present.', { hint: 'It may be a standby; point destination.url at the primary.' });
  }
  const warnings: string[] = [];
  if (!row.creates) warnings.push(`no CREATE on the database: ${row.prepared ? '' : 'the schema tidemark and '}schemas of new targets can't be made (GRANT CREATE ON DATABASE ${row.database} TO ${row.who})`);
  if (!row.owns) warnings.push(`no USAGE and CREATE on the schema tidemark: neither ledger nor watermarks can be kept (GRANT USAGE, CREATE ON SCHEMA tidemark TO ${row.who})`);
  return { product: 'PostgreSQL', version: row.version, database: row.database, user: row.who, timezone: row.timezone, warnings };
}
