/** What a read of a whole relation looks through: if that changes, rows may be hidden rather than gone. */
import { createHash } from 'node:crypto';
import { TidemarkError } from '../../schemas/errors.ts';
import type { StreamRead } from '../connector.ts';
import type { PostgresClient } from './client.ts';

/** The relation and all that its view, if it is one, is made of: identity, definition, policies. */
const SCOPE = `WITH RECURSIVE tree(oid) AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
    UNION SELECT d.refobjid FROM tree JOIN pg_rewrite r ON r.ev_class = tree.oid
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class)
  SELECT c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relowner,
    CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS definition,
    (SELECT string_agg(concat_ws('/', p.polname, p.polcmd, p.polpermissive, p.polroles, pg_get_expr(p.polqual, p.polrelid)), ',' ORDER BY p.polname) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
    CASE WHEN c.oid = (SELECT min(t.oid) FROM tree t JOIN pg_class k ON k.oid = t.oid JOIN pg_namespace s ON s.oid = k.relnamespace WHERE s.nspname = $1 AND k.relname = $2) THEN row_security_active(c.oid) END AS hides,
    current_user AS who, (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS sees_all
  FROM tree JOIN pg_class c ON c.oid = tree.oid ORDER BY c.oid`;

/** See {@link SourceSession.scanScope}. Throws `source.privilege_missing` where policies hide rows from the user. */
export async function readScanScope(client: PostgresClient, stream: StreamRead): Promise<string> {
  const { schema, name } = stream.table;
  const rows = await client.rows(`table ${schema}.${name}`, SCOPE, [schema, name]);
  if (rows.some((row) => row.hides === 't')) {
    throw new TidemarkError('source.privilege_missing', `Row security policies of ${schema}.${name} hide rows from the user, so a missing row proves no delete.`, { hint: "Read as the table's owner, or give the user BYPASSRLS." });
  }
  return createHash('sha256').update(JSON.stringify(rows)).digest('hex');
}
