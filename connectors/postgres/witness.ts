/**
 * The last rows that a run has seen, as witnesses: where the server was started again, another timeline took over or the table's file is a new
 * one, they tell whether this is still the history that was read.
 *
 * A row version that was visible then and is not younger than that snapshot is still the same version; any other one of its key was written in
 * another history. A witness that is absent may have been deleted, so one alone proves nothing on the same timeline; after a fail-over it does.
 */
import { z } from 'zod';
import type { PostgresClient } from './client.ts';
import { historyLost, type Mark } from './position.ts';
import { newRows } from './range.ts';
import { literal, type OrderedColumn, type Relation } from './relation.ts';

const WITNESSES = 8;

const witnessesSchema = z.array(z.array(z.string())).nullable();

/** A subselect: JSON of `[cursor, xmin, key...]` of the rows with the highest cursors, the highest first. */
export function lastRows(relation: Relation, order: OrderedColumn, condition: string): string {
  const values = [`(${order.sql})::text`, relation.hasXmin ? 'xmin::text' : `''`, ...relation.key.map(({ sql }) => `(${sql})::text`)];
  return `(SELECT json_agg(w.row) FROM (SELECT json_build_array(${values.join(', ')}) AS row FROM ${relation.from} WHERE ${condition} ORDER BY ${order.sql} DESC LIMIT ${WITNESSES}) w)`;
}

export function parseLastRows(json: string | null | undefined): string[][] {
  return witnessesSchema.parse(JSON.parse(json ?? 'null')) ?? [];
}

interface Suspicion {
  /** Another server has taken over, which may have lacked what was read last. */
  readonly forked: boolean;
  readonly restarted: boolean;
  readonly since: bigint | null;
}

/** Throws `source.history_lost` where the rows at the watermark say that this is another history. Asked in the open snapshot. */
export async function requireWitnesses(client: PostgresClient, relation: Relation, base: Mark, { forked, restarted, since }: Suspicion): Promise<void> {
  const { order } = relation;
  const last = base.last ?? [];
  const rewritten = base.file !== undefined && base.file !== relation.file;
  // Transaction ids that are too old to be compared tell nothing.
  if (since === null && !forked) return;
  if (order === null || !relation.hasXmin || relation.key.length === 0 || last.length === 0 || !(forked || restarted || rewritten)) return;
  const asked = last.map(([at = '', xmin = '', ...key]) => {
    const same = relation.key.map((column, i) => `${column.sql} = ${literal(column, key[i] ?? '')}`).join(' AND ');
    const later = newRows(BigInt(base.since), []);
    return `SELECT CASE WHEN ${later} THEN CASE WHEN ${order.sql} >= ${literal(order, at)} OR ${order.sql} IS NULL THEN 'there' ELSE 'back' END
      WHEN xmin::text = '${BigInt(xmin)}' AND ${order.sql} = ${literal(order, at)} THEN 'there' ELSE 'other' END AS found FROM ${relation.from} WHERE ${same}`;
  });
  const row = await client.row(relation.where, `SELECT EXISTS (SELECT FROM ${relation.from}) AS filled, count(*) FILTER (WHERE found = 'there') AS there, count(*) FILTER (WHERE found = 'other') AS other
    FROM (${asked.join(' UNION ALL ')}) w`);
  if (row.other !== '0') throw historyLost(`${relation.where}: the rows at the watermark are others than those that were read: the source was restored, or a copy of it took over.`);
  // An empty table tells nothing yet: it may be about to be filled again.
  if (row.filled !== 't') return;
  const there = Number(row.there);
  if (there === 0) throw historyLost(`${relation.where}: the rows at the watermark are gone: the table was emptied and filled anew, or the source was restored.`);
  if (forked && there < last.length) throw historyLost(`${relation.where}: another server has taken over, and rows that were read last are not there.`);
}
