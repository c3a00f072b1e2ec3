/** A slice of a backfill: rows by a half-open range of cursor values, whatever the watermark. */
import { TidemarkError } from '../../schemas/errors.ts';
import { isOnCalendar } from '../calendar.ts';
import type { SliceBounds, SliceRead, StreamRead } from '../connector.ts';
import { Binds } from './binds.ts';
import type { OracleClient } from './client.ts';
import { clock } from './clock.ts';
import { isTime, ROW_SCN, type OrderColumn } from './columns.ts';
import { projectionOf, readRows } from './rows.ts';
import type { Snapshots } from './snapshot.ts';
import { fromAt, where } from './statement.ts';
import { cursorOf } from './tide.ts';

const DATE = /^\d{4}-\d\d-\d\d$/;
const TIME = /^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,9})?)?$/;
const SECONDS = /^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?$/;
const NUMBER = /^-?\d+(\.\d+)?$/;

const tableName = (stream: StreamRead): string => `table ${stream.table.schema}.${stream.table.name}`;

function boundOf(stream: StreamRead, cursor: OrderColumn, value: string): string {
  const shape = !isTime(cursor.kind) ? NUMBER : cursor.kind === 'date' ? SECONDS : TIME;
  if (shape.test(value) && (!isTime(cursor.kind) || isOnCalendar(value))) return isTime(cursor.kind) && DATE.test(value) ? `${value} 00:00:00` : value;
  throw new TidemarkError('usage.invalid', `${tableName(stream)}: a bound is no value of the cursor ${cursor.name}.`, {
    hint: 'Write a time as 2026-01-31 or 2026-01-31 08:00:00, a number with its digits only.',
  });
}

/** See `SourceSession.readSlice`. ORA_ROWSCN and texts have no range that a person could name. */
export async function readSlice(client: OracleClient, snapshots: Snapshots, stream: StreamRead, range: SliceBounds): Promise<SliceRead> {
  const cursor = cursorOf(stream);
  if (cursor === null || cursor.name === ROW_SCN || !(isTime(cursor.kind) || cursor.kind === 'number')) {
    throw new TidemarkError('source.cursor_unusable', `${tableName(stream)} has no time or number as cursor.`, { hint: 'Name one with cursor: ..., or run tidemark sync --full.' });
  }
  const projection = projectionOf(stream);
  const bounds = { from: boundOf(stream, cursor, range.from), to: boundOf(stream, cursor, range.to) };
  const snapshot = await snapshots.take(stream);
  const asOf = snapshot.asOf ?? (await clock(client));
  const binds = new Binds();
  const table = fromAt(binds, stream.table, snapshot);
  const conditions = [`${cursor.compared} >= ${cursor.bound(binds, bounds.from)}`, `${cursor.compared} < ${cursor.bound(binds, bounds.to)}`];
  const statement = binds.statement(`SELECT ${projection.list} ${table}${where(conditions)}`);
  return { ...readRows(client, projection, [statement], tableName(stream)), asOf };
}
