/** Which rows a read takes, as conditions of one SELECT: a row that meets several of them still comes once. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { BatchLimits } from '../connector.ts';
import type { PostgresClient } from './client.ts';
import { literal, type OrderedColumn, type Relation } from './relation.ts';

/** A position in the order `(cursor, key)`, or `(key)` in a full build: one text for each column. */
export type Tuple = readonly string[];

/** Rows written by transactions from `since` on, and all rows of `fresh` partitions. Ids are compared modulo 2^32, as the server does. */
export function newRows(since: bigint | null, fresh: readonly string[]): string {
  if (since === null) return 'true';
  // Frozen rows of an earlier epoch may carry an id that looks like one of the future: age 0 or less is none of ours.
  // The sub-select is evaluated once, not for each row; and the first comparison ends it for the old rows of an overlap, which are the most.
  const written = `age(xmin) <= (SELECT age('${xid(since)}'::xid)) AND age(xmin) >= 1`;
  return fresh.length === 0 ? `(${written})` : `(${written} OR tableoid IN (${fresh.map((oid) => `${BigInt(oid)}`).join(', ')}))`;
}

/** What a run read: rows of transactions from `since` on, with a cursor from `low` on (null: whatever its cursor). */
export interface PastRun {
  readonly since: string;
  readonly low: string | null;
}

/**
 * Rows that past runs (newest first) could see but passed over, because their cursor lay below the bound. A version written
 * before a run's successor's `since` was complete when that run read, so the run whose window it falls in decides.
 */
export function passedOver(order: OrderedColumn, scannedSince: bigint, runs: readonly PastRun[]): string {
  // Of runs without a bound nothing was passed over; and a CASE of nothing but NULL is text, which no cursor compares with.
  if (runs.every(({ low }) => low === null)) return 'false';
  const lows = runs.map(({ since, low }) => `WHEN age(xmin) <= (SELECT age('${xid(BigInt(since))}'::xid)) THEN ${low === null ? 'NULL' : literal(order, low)}`);
  return `(${newRows(scannedSince, [])} AND ${order.sql} < CASE ${lows.join(' ')} END)`;
}

const xid = (full: bigint): string => BigInt.asUintN(32, full).toString();

/** `(columns) op (values)`, led by a comparison of the first column alone, which any index on it can serve. One value compares with that column only. */
export function compare(columns: readonly OrderedColumn[], op: '>' | '<=', values: Tuple): string {
  const [first] = columns;
  const [value] = values;
  if (!first || value === undefined) return 'true';
  if (columns.length === 1 || values.length === 1) return `${first.sql} ${op} ${literal(first, value)}`;
  const literals = columns.map((column, i) => literal(column, values[i] ?? ''));
  return `(${first.sql} ${op === '>' ? '>=' : '<='} ${literals[0]} AND (${columns.map(({ sql }) => sql).join(', ')}) ${op} (${literals.join(', ')}))`;
}

export interface RangeSpec {
  readonly since: bigint | null;
  readonly fresh: readonly string[];
  /** Inclusive on the cursor; null: no bound. */
  readonly low: string | null;
  /** Exclusive; set after a run's first batch, where it takes the place of `low`. */
  readonly after: Tuple | null;
  /** Inclusive; null: there is no row with a cursor in the range. */
  readonly upper: string | null;
}

/** Rows with a cursor between the bounds. */
export function inRange(order: OrderedColumn, columns: readonly OrderedColumn[], spec: RangeSpec, end: Tuple | null): string {
  if (spec.upper === null) return 'false';
  const lower = spec.after !== null ? compare(columns, '>', spec.after) : spec.low !== null ? `${order.sql} >= ${literal(order, spec.low)}` : 'true';
  const upper = end !== null ? compare(columns, '<=', end) : `${order.sql} <= ${literal(order, spec.upper)}`;
  return `${lower} AND ${upper}`;
}

/** Order of paging: the cursor and then the key; only the cursor where the key can't page, so that equal values stay together. */
export function pagingColumns(relation: Relation, order: OrderedColumn): readonly OrderedColumn[] {
  return [order, ...relation.key.filter((column) => column.name !== order.name)];
}

/** Last row of the batch in the order of paging, or null where all that is left fits. Throws `source.batch_overfull` where it does not and nothing else is wanted. */
export async function findEnd(client: PostgresClient, relation: Relation, order: OrderedColumn, spec: RangeSpec, { rowsMax, wholeOnly }: BatchLimits): Promise<Tuple | null> {
  if (spec.upper === null) return null;
  const columns = pagingColumns(relation, order);
  const range = inRange(order, columns, spec, null);
  const fits = async (rows: string): Promise<boolean> =>
    (await client.row(relation.where, `SELECT count(*) <= ${rowsMax} AS fits FROM (SELECT FROM ${relation.from} WHERE ${rows} LIMIT ${rowsMax + 1}) s`)).fits === 't';
  // Counting sorts nothing, and rows that were read before can be counted with the others in the cursor's index alone: most runs end here.
  if (await fits(range)) return null;
  const wanted = `${range} AND ${newRows(spec.since, spec.fresh)}`;
  // An overlap that was written fast holds more of those than a batch takes; it lies before a run's later batches.
  if (spec.since !== null && spec.after === null && (await fits(wanted))) return null;
  if (wholeOnly === true) throw new TidemarkError('source.batch_overfull', `${relation.where}: more than ${rowsMax} rows are new.`);
  const sorted = columns.map(({ sql }) => sql).join(', ');
  const rows = await client.rows(relation.where, `SELECT ${columns.map(({ sql }, i) => `(${sql})::text AS c${i}`).join(', ')} FROM ${relation.from}
    WHERE ${wanted} ORDER BY ${sorted} OFFSET ${rowsMax - 1} LIMIT 2`);
  const [last, next] = rows;
  if (!last || !next) return null;
  return columns.map((_, i) => last[`c${i}`] ?? '');
}
