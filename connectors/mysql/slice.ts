/** A slice of a backfill: rows by a half-open range of cursor values, whatever the watermark. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Column } from '../../schemas/table.ts';
import type { SliceBounds, SliceRead, StreamRead } from '../connector.ts';
import { compareExpression, cursorOf, literal } from './columns.ts';
import { readAsOf } from './incremental.ts';
import { beginSnapshot, selectRows } from './range.ts';
import { rowsOf, type Source } from './source.ts';
import { baseType } from './types.ts';
import { tableName } from './watermark.ts';

const DATE = /^\d{4}-\d\d-\d\d$/;
const TIME = /^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,6})?)?$/;
const NUMBER = /^-?\d+(\.\d+)?$/;

function shapeOf(cursor: Column): RegExp {
  if (cursor.order !== 'time') return NUMBER;
  return baseType(cursor) === 'date' ? DATE : TIME;
}

/** A date that the calendar does not have would be compared as text, and find other rows or none. */
async function requireValues(source: Source, stream: StreamRead, cursor: Column, values: readonly string[]): Promise<void> {
  const shaped = values.every((value) => shapeOf(cursor).test(value));
  if (shaped && cursor.order !== 'time') return;
  const [row] = shaped ? await source.connection.query(`SELECT ${values.map((value) => `CAST('${value}' AS DATETIME(6)) IS NOT NULL`).join(', ')}`, tableName(stream)) : [];
  if (row !== undefined && row.every((valid) => valid === '1')) return;
  throw new TidemarkError('usage.invalid', `A bound is no value of the cursor ${cursor.name} of ${tableName(stream)}, which is ${cursor.nativeType}.`, {
    hint: 'Write a time as 2026-01-31 or 2026-01-31 08:00:00, a number with its digits only.',
  });
}

/** See {@link SourceSession.readSlice}. */
export async function readSlice(source: Source, stream: StreamRead, range: SliceBounds): Promise<SliceRead> {
  const cursor = cursorOf(stream);
  await requireValues(source, stream, cursor, [range.from, range.to]);
  const name = compareExpression(cursor);
  await beginSnapshot(source.connection, tableName(stream));
  const asOf = await readAsOf(source.connection);
  const where = `${name} >= ${literal(cursor, range.from)} AND ${name} < ${literal(cursor, range.to)}`;
  return { ...rowsOf(source, stream, [selectRows(stream, where)]), asOf };
}
