/** A digest of rows, made at the source: nothing but a count and 120 bits crosses the network. */
import type { Column } from '../../schemas/table.ts';
import type { StreamRead } from '../connector.ts';
import { columnOf, selectExpression } from './columns.ts';
import type { OpenConnection } from './connection.ts';
import { quoteName, quoteTable } from './quoting.ts';
import { baseType } from './types.ts';

const LONG = /^(tiny|medium|long)?(blob|text)$|^json$|^geometry|^geom|^point|^linestring|^polygon|^multi|^vector/;

/**
 * Text as bytes, so that columns of different collations can stand in one concatenation; long values as their own digest,
 * so that the concatenation stays below max_allowed_packet (beyond it the server answers NULL).
 */
function digestible(column: Column): string {
  const base = baseType(column);
  if (LONG.test(base)) return `QUOTE(SHA2(${quoteName(column.name)},256))`;
  return `QUOTE(CAST(${selectExpression(column)} AS BINARY))`;
}

/** Sums, not XOR: two equal rows of a keyless table must not cancel out. Digests add up to a decimal, which does not overflow. */
export async function digestRows(connection: OpenConnection, stream: StreamRead, conditions: readonly string[]): Promise<string> {
  const columns = [...new Set([...stream.columns, ...stream.key])].map((name) => digestible(columnOf(stream.table, name)));
  const branches = conditions.map((where) => `SELECT SHA2(CONCAT_WS(',',${columns.join(',')}),256) AS h FROM ${quoteTable(stream.table)} WHERE ${where}`);
  const part = (from: number): string => `COALESCE(SUM(CAST(CONV(SUBSTR(h,${from},15),16,10) AS UNSIGNED)),0)`;
  const [row] = await connection.query(`SELECT COUNT(*), ${part(1)}, ${part(16)} FROM (${branches.join(' UNION ALL ')}) d`, stream.table.name);
  return (row ?? []).join('/');
}
