/** The cheap question: has anything been written that the next run would read? */
import type { Position } from '../../schemas/position.ts';
import type { StreamRead } from '../connector.ts';
import type { PostgresClient } from './client.ts';
import { type Mark, parsePosition, readState } from './position.ts';
import { newRows } from './range.ts';
import { literal, loadRelation, type OrderedColumn, type Relation } from './relation.ts';
import { alwaysScanned, mayBeScanned, seesTheSame, startOf } from './run-start.ts';
import { outsideConditions, readSnapshot, type Snapshot, trustMark } from './snapshot.ts';

/**
 * False only where it is certain. First without touching the table: if no transaction was begun or ended anywhere on the
 * server since the position's snapshot, nothing was written. Then by an index probe, or by looking through a small table.
 * Where a large table is due to be looked through, the read does it, once, and so the answer is true.
 */
export async function mayHaveNew(client: PostgresClient, stream: StreamRead, position: Position): Promise<boolean> {
  const where = `table ${stream.table.schema}.${stream.table.name}`;
  const snapshot = await readSnapshot(client, where);
  if (nothingWritten(client, stream, position, snapshot)) return false;

  const relation = await loadRelation(client, stream);
  const state = parsePosition(position, relation, where);
  if (state.run !== null || !relation.hasXmin) {
    trustMark(state.mark, snapshot, where);
    return true;
  }
  const from = await startOf(client, state.mark, snapshot, relation);
  if (from.since === null || from.fresh.length > 0) return true;
  if (relation.order === null) return countChanged(client, relation, state.mark, from.since);
  if (from.anywhere !== null) return alwaysScanned(relation) ? exists(client, relation, from.anywhere) : true;
  return hasNewRows(client, relation, relation.order, from.since, from.low, state.mark.top);
}

/**
 * New rows from `low` on or outside the order. Most are beyond the top, where an index finds them without passing the old rows of the overlap. A server that
 * expects some within the overlap would rather begin to look through the table, and mostly there is none to end at: asked for in the index's order, and
 * one condition by one, it takes the index.
 */
async function hasNewRows(client: PostgresClient, relation: Relation, order: OrderedColumn, since: bigint, low: string | null, top: string | null): Promise<boolean> {
  const rows = (condition: string): string => `SELECT true FROM ${relation.from} WHERE ${newRows(since, [])} AND (${condition})`;
  const byIndex = (condition: string): string => `(${rows(condition)} ORDER BY ${order.sql} LIMIT 1) IS NOT NULL`;
  const places = [low === null ? 'true' : `${order.sql} >= ${literal(order, low)}`, ...outsideConditions(order, null)];
  const within = order.indexed && low !== null ? places.map(byIndex).join(' OR ') : `EXISTS (${rows(places.join(' OR '))})`;
  // Only CASE keeps to an order.
  return holds(client, relation, order.indexed && top !== null ? `CASE WHEN ${byIndex(`${order.sql} > ${literal(order, top)}`)} THEN true ELSE ${within} END` : within);
}

/** Inserts and updates show as new row versions; deletes change the count. */
async function countChanged(client: PostgresClient, relation: Relation, mark: Mark, since: bigint): Promise<boolean> {
  if (mark.count === null) return true;
  const row = await client.row(relation.where, `SELECT count(*) AS rows, count(*) FILTER (WHERE ${newRows(since, [])}) AS new FROM ${relation.from}`);
  return row.new !== '0' || row.rows !== mark.count;
}

function exists(client: PostgresClient, relation: Relation, condition: string): Promise<boolean> {
  return holds(client, relation, `EXISTS (SELECT FROM ${relation.from} WHERE ${condition})`);
}

async function holds(client: PostgresClient, relation: Relation, condition: string): Promise<boolean> {
  return (await client.row(relation.where, `SELECT ${condition} AS found`)).found === 't';
}

function nothingWritten(client: PostgresClient, stream: StreamRead, position: Position, snapshot: Snapshot): boolean {
  if (position.server !== client.server.identity || position.table !== stream.table.identity) return false;
  const state = readState(position);
  if (state === null || state.run !== null || !state.mark.versions || mayBeScanned(state.mark, snapshot.at)) return false;
  return seesTheSame(state.mark, snapshot);
}
