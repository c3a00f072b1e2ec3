/** What a read of a whole table or view looks through: if that changes, rows may be hidden rather than gone. */
import { createHash } from 'node:crypto';
import type { StreamRead } from '../connector.ts';
import type { OpenConnection } from './connection.ts';
import { quoteText } from './quoting.ts';

/**
 * See {@link SourceSession.scanScope}. A view's definition is empty without SHOW VIEW, and those of views below it are not looked at:
 * a change there is caught by the cap alone.
 */
export async function readScanScope(connection: OpenConnection, stream: StreamRead): Promise<string> {
  const where = `table_schema = ${quoteText(stream.table.schema)} AND table_name = ${quoteText(stream.table.name)}`;
  const rows = await connection.query(
    `SELECT CURRENT_USER(), t.table_type, v.view_definition, v.definer, v.security_type FROM information_schema.tables t
     LEFT JOIN information_schema.views v ON v.table_schema = t.table_schema AND v.table_name = t.table_name WHERE ${where.replaceAll('table_', 't.table_')}`,
    'information_schema',
  );
  return createHash('sha256').update(JSON.stringify(rows)).digest('hex');
}
