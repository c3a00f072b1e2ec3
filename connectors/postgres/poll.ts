/** The cheap question: has anything been written that the next run would read? */
import type { Position } from '../../schemas/position.ts';
import type { StreamRead } from '../connector.ts';
import type { PostgresClient } from './client.ts';
import { alwaysScanned, startOf } from './incremental.ts';
import { type Mark, parsePosition } from './position.ts';
import { newRows, outsideOrder } from './range.ts';
import { literal, loadRelation, type Relation } from './relation.ts';
import { readSnapshot, type Snapshot } from './snapshot.ts';

/**
 * False only where it is certain. First without touching the table: if no transaction was begun or ended anywhere on the
 * server since the position's snapshot, nothing was written. Then by an index probe, or by looking through a small table.
 * Where a large table is due to be looked through, the read does it, once, and so the answer is true.
 */
export async function mayHaveNew(client: PostgresClient, stream: StreamRead, position: Position): Promise<boolean> {
  const where = `table ${stream.table.schema}.${stream.table.name}`;
  const snapshot = await readSnapshot(client, where);
  const unchanged = snapshotOf(position) === fingerprint(snapshot) && position.server === client.server.identity && position.table === stream.table.identity;
  if (unchanged && stream.table.kind !== 'view' && stream.table.kind !== 'other' && !midRun(position)) return false;

  const relation = await loadRelation(client, stream);
  const state = parsePosition(position, relation, where);
  if (state.run !== null || !relation.hasXmin) return true;
  const clock = await client.row(where, 'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS at');
  const from = startOf(state.mark, snapshot, relation, relation.order, { at: clock.at ?? '0' });
  if (from.since === null || from.scannedSince === null || from.fresh.length > 0) return true;
  if (relation.order === null) return countChanged(client, relation, state.mark, from.since);
  if (from.scan) return alwaysScanned(relation, relation.order) ? exists(client, relation, newRows(from.scannedSince, [])) : true;
  const reach = from.low === null ? 'true' : `${relation.order.sql} >= ${literal(relation.order, from.low)}`;
  return exists(client, relation, `${newRows(from.since, [])} AND (${reach} OR ${outsideOrder(relation.order, null)})`);
}

/** Inserts and updates show as new row versions; deletes change the count. */
async function countChanged(client: PostgresClient, relation: Relation, mark: Mark, since: bigint): Promise<boolean> {
  if (mark.count === null) return true;
  const row = await client.row(relation.where, `SELECT count(*) AS rows, count(*) FILTER (WHERE ${newRows(since, [])}) AS new FROM ${relation.from}`);
  return row.new !== '0' || row.rows !== mark.count;
}

async function exists(client: PostgresClient, relation: Relation, condition: string): Promise<boolean> {
  const row = await client.row(relation.where, `SELECT EXISTS (SELECT FROM ${relation.from} WHERE ${condition}) AS found`);
  return row.found === 't';
}

const fingerprint = (snapshot: Pick<Snapshot, 'text' | 'started' | 'timeline'>): string => `${snapshot.text} ${snapshot.started} ${snapshot.timeline}`;

/** The same for the snapshot of a stored position; null where it has another form. */
function snapshotOf(position: Position): string | null {
  const mark = position.state.mark;
  if (typeof mark !== 'object' || mark === null || !('snapshot' in mark && 'started' in mark && 'timeline' in mark)) return null;
  return fingerprint({ text: String(mark.snapshot), started: String(mark.started), timeline: mark.timeline === null ? null : String(mark.timeline) });
}

const midRun = (position: Position): boolean => position.state.run !== null;
