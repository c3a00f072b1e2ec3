/**
 * A slice of a backfill: rows by a half-open range of cursor values, whatever the watermark. Db2 gives no snapshot: each row is read as it is
 * committed when the cursor passes it, which is never earlier than the statement began; a change of later than that is the next sync's.
 */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Column } from '../../schemas/table.ts';
import { isOnCalendar } from '../calendar.ts';
import type { SliceBounds, SliceRead, StreamRead } from '../connector.ts';
import { cellText } from './dialect.ts';
import { all, compare } from './range.ts';
import { columnNamed, readRequest } from './reads.ts';
import { isoTimestamp } from './row-line.ts';
import { utc, type Source } from './source.ts';

const DATE = /^\d{4}-\d\d-\d\d$/;
const TIME = /^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,12})?)?$/;
const NUMBER = /^-?\d+(\.\d+)?$/;
const MIDNIGHT = ' 00:00:00';

function boundOf(stream: StreamRead, cursor: Column, value: string): string {
  const timestamp = cursor.order === 'time' && cursor.nativeType !== 'DATE';
  const shape = timestamp ? TIME : cursor.order === 'time' ? DATE : NUMBER;
  if (shape.test(value) && (cursor.order !== 'time' || isOnCalendar(value))) return timestamp && DATE.test(value) ? value + MIDNIGHT : value;
  throw new TidemarkError('usage.invalid', `A bound is no value of the cursor ${cursor.name} of ${stream.table.schema}.${stream.table.name}, which is ${cursor.nativeType}.`, {
    hint: 'Write a time as 2026-01-31 or 2026-01-31 08:00:00, a number with its digits only.',
  });
}

/** See `SourceSession.readSlice`. */
export async function readSlice(source: Source, stream: StreamRead, range: SliceBounds): Promise<SliceRead> {
  if (stream.cursor === null) throw new TidemarkError('source.cursor_missing', `${stream.table.name} is read without a cursor.`);
  const cursor = columnNamed(stream, stream.cursor);
  const from = compare(source.dialect, cursor, '>=', boundOf(stream, cursor, range.from));
  const to = compare(source.dialect, cursor, '<', boundOf(stream, cursor, range.to));
  const [now] = await source.query(stream)(source.dialect.clockSql);
  const rows = await source.read(stream, readRequest(source.dialect, stream, [all(from, to)], []));
  return { format: 'copy-text', marksRejects: true, stream: rows, rowsRead: () => rows.rowsRead(), asOf: utc(source, isoTimestamp(cellText(now?.[0]))) };
}
