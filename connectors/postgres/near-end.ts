/** Where a batch may end so that the next one can be read beside it: found in the cursor's index, without a look at the rows that were read before. */
import type { BatchLimits } from '../connector.ts';
import type { PostgresClient } from './client.ts';
import { pagingColumns, type RangeSpec, type Tuple } from './range.ts';
import { grows, literal, type OrderedColumn, type Relation } from './relation.ts';

/**
 * A batch that is cut here may hold more rows than were wanted: those that share the last value, and late ones below its beginning. Where its bound is
 * not a multiple of what is wanted it is counted instead.
 */
const ROOM = 4;

/** `end`: the last row of the batch in the order of paging, or null where all that is left fits. */
export interface NearEnd {
  readonly end: Tuple | null;
}

/**
 * The end of a batch of about `rowsWanted` rows beyond `floor`, a cursor value up to which rows were read before. Null where that can't be told cheaply: no
 * index, an order that does not grow, or too many rows of one value.
 */
export async function findNearEnd(client: PostgresClient, relation: Relation, order: OrderedColumn, spec: RangeSpec, floor: string | null, limits: BatchLimits): Promise<NearEnd | null> {
  const { rowsMax, rowsWanted } = limits;
  if (rowsWanted === undefined || rowsWanted * ROOM > rowsMax) return null;
  if (floor === null || spec.upper === null || spec.fresh.length > 0 || !order.indexed || !grows(order)) return null;
  const { from } = relation;
  const [, ...key] = pagingColumns(relation, order);
  const beyond = `${order.sql} > ${literal(order, floor)} AND ${order.sql} <= ${literal(order, spec.upper)}`;
  const equal = `${from} WHERE ${order.sql} = l.value`;
  // Rows of one value stay together: the end is the last of them.
  const last = key.map(({ sql }, i) => `(SELECT (${sql})::text FROM ${equal} ORDER BY ${key.map((column) => `${column.sql} DESC`).join(', ')} LIMIT 1) AS k${i}`);
  const [row] = await client.rows(
    relation.where,
    `SELECT ${[`l.value::text AS value`, `l.value < ${literal(order, spec.upper)} AS more`, `(SELECT count(*) FROM (SELECT FROM ${equal} LIMIT ${rowsWanted + 1}) s) > ${rowsWanted} AS crowded`, ...last].join(', ')}
     FROM (SELECT ${order.sql} AS value FROM ${from} WHERE ${beyond} ORDER BY ${order.sql} OFFSET ${rowsWanted - 1} LIMIT 1) l`,
  );
  if (row?.value == null) return { end: null };
  if (row.crowded === 't') return null;
  return { end: row.more === 't' ? [row.value, ...key.map((_, i) => row[`k${i}`] ?? '')] : null };
}
