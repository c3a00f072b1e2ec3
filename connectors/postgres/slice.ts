/** A slice of a backfill: rows by a half-open range of cursor values, whatever the watermark. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { RowFormat, SliceBounds, SliceRead, StreamRead } from '../connector.ts';
import type { PostgresClient } from './client.ts';
import { copyOut } from './copy.ts';
import { beginSnapshot, usableFormat } from './incremental.ts';
import { literal, loadRelation, type OrderedColumn } from './relation.ts';

const DATE = /^\d{4,6}-\d\d-\d\d$/;
const TIME = /^\d{4,6}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,6})?)?$/;
const INTEGER = /^-?\d+$/;
const NUMBER = /^-?\d+(\.\d+)?$/;
/** What a bound of each base type looks like; a cast would also take `now`, round a fraction or pass over a zone. */
const SHAPES: Readonly<Record<string, RegExp>> = {
  timestamptz: TIME, timestamp: TIME, date: DATE,
  int2: INTEGER, int4: INTEGER, int8: INTEGER, oid: INTEGER, xid8: INTEGER,
  numeric: NUMBER, float4: NUMBER, float8: NUMBER,
};

/** See {@link SourceSession.readSlice}. `released` settles when the session is free again. */
export async function openSlice(client: PostgresClient, stream: StreamRead, range: SliceBounds, format: RowFormat): Promise<{ readonly read: SliceRead; readonly released: Promise<void> }> {
  const relation = await loadRelation(client, stream);
  const { order, where } = relation;
  if (order === null) throw new TidemarkError('source.cursor_missing', `${where}: a slice needs a cursor.`);
  await requireValues(client, where, order, [range.from, range.to]);
  try {
    const { asOf } = await beginSnapshot(client, where);
    const condition = `${order.sql} >= ${literal(order, range.from)} AND ${order.sql} < ${literal(order, range.to)}`;
    const { read, released } = copyOut(client, `SELECT ${relation.select} FROM ${relation.from} WHERE ${condition}`, usableFormat(relation, format), where);
    return { read: { ...read, asOf }, released };
  } catch (error) {
    await client.rollback();
    throw error;
  }
}

async function requireValues(client: PostgresClient, where: string, order: OrderedColumn, values: readonly string[]): Promise<void> {
  const shape = SHAPES[order.base];
  const refuse = (cause?: unknown) =>
    new TidemarkError('usage.invalid', `${where}: a bound is no value of the cursor ${order.name}, which is ${order.formatted}.`, { hint: 'Write a time as 2026-01-31 or 2026-01-31 08:00:00, a number with its digits only.', cause });
  if (shape === undefined || !values.every((value) => shape.test(value))) throw refuse();
  try {
    await client.rows(where, `SELECT ${values.map((value) => literal(order, value)).join(', ')}`);
  } catch (error) {
    if (error instanceof TidemarkError && error.retry === 'permanent') throw refuse(error);
    throw error;
  }
}
