/**
 * Values as the driver hands them over, to rows of PostgreSQL's COPY text with the two fields that mark rejected rows
 * (see `RowRead` in the connector contract).
 */
import { COPY_NULL, copyBytes, escapeCopyText, textDefect, type TextDefect } from '../copy-text.ts';
import type { Cell } from './driver.ts';
import type { ColumnSpec } from './reader-protocol.ts';

/**
 * Why a value has no faithful place in the target. Of a text with a U+0000 the driver hands over only what stands before it; the
 * length that the server counted gives it away.
 */
export type RejectCode =
  | TextDefect
  /** A substitute stands where the server's code page had a byte without a character. */
  | 'text.substituted'
  /** The value did not come whole: longer than this server can hand over. */
  | 'value.too_long'
  /** A timestamp has digits beyond microseconds, in a column whose type does not say so. */
  | 'value.too_precise';

const SUBSTITUTES = /[\u001A\uFFFD]/;
/** From this length on a text that came short is a long one that was cut; below it, one with a U+0000 in it. */
const LONG_TEXT = 10_000;
const MICROSECONDS = '2024-02-29 23:59:59.123456'.length;

/** `2024-02-29-23.59.59.123456` to `2024-02-29 23:59:59.123456`; other text is left as it is. */
export function isoTimestamp(text: string): string {
  return text[10] === '-' ? `${text.slice(0, 10)} ${text.slice(11).replace('.', ':').replace('.', ':')}` : text;
}

/** A value that is not null as text, as PostgreSQL reads it, not yet escaped. */
export function valueText(value: Exclude<Cell, null>, column: Pick<ColumnSpec, 'kind'>): string {
  switch (column.kind) {
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'timestamp':
      return isoTimestamp(String(value));
    case 'decfloat':
      return String(value).replace(/^(-?)sNaN$/i, 'NaN');
    case 'bytes':
      return `\\x${(value as Buffer).toString('hex')}`;
    default:
      return String(value);
  }
}

function breach(value: Exclude<Cell, null>, length: Cell, column: ColumnSpec): RejectCode | null {
  if (column.kind === 'bytes') return length !== null && Buffer.isBuffer(value) && value.length !== Number(length) ? 'value.too_long' : null;
  const text = String(value);
  if (column.kind === 'microseconds') return text.length > MICROSECONDS ? 'value.too_precise' : null;
  if (length !== null && text.length !== Number(length)) return text.length >= LONG_TEXT ? 'value.too_long' : 'text.nul';
  return textDefect(text) ?? (column.converted && SUBSTITUTES.test(text) ? 'text.substituted' : null);
}

/** Text that may need escaping or refusing: one look at it suffices for all others. */
const NOT_PLAIN = /[\\\t\n\r\u0000\u001A\uD800-\uDFFF\uFFFD]/;

/** The field of a value that is not null; null: the row is to be rejected. */
function field(value: Exclude<Cell, null>, row: readonly Cell[], column: ColumnSpec): string | null {
  switch (column.kind) {
    case 'plain':
      return value as string;
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'text': {
      const text = value as string;
      if ((column.lengthAt < 0 || row[column.lengthAt] === text.length) && !NOT_PLAIN.test(text)) return text;
      return breach(value, lengthOf(row, column), column) === null ? escapeCopyText(text) : null;
    }
    case 'microseconds':
      return breach(value, null, column) === null ? (value as string) : null;
    case 'bytes':
      return breach(value, lengthOf(row, column), column) === null ? copyBytes(value as Buffer) : null;
    default:
      return valueText(value, column);
  }
}

const lengthOf = (row: readonly Cell[], column: ColumnSpec): Cell => (column.lengthAt < 0 ? null : (row[column.lengthAt] ?? null));

function rejectedRow(row: readonly Cell[], columns: readonly ColumnSpec[]): string {
  const reasons: { column: string; code: RejectCode }[] = [];
  const values: [string, string | null][] = columns.map((column) => {
    const value = row[column.at] ?? null;
    if (value === null) return [column.name, null];
    const checked = column.kind === 'text' || column.kind === 'bytes' || column.kind === 'microseconds';
    const code = checked ? breach(value, lengthOf(row, column), column) : null;
    if (code === null) return [column.name, valueText(value, column)];
    reasons.push({ column: column.name, code });
    return [column.name, null];
  });
  const fields = columns.map(() => COPY_NULL);
  return [...fields, escapeCopyText(JSON.stringify(reasons)), escapeCopyText(JSON.stringify(Object.fromEntries(values)))].join('\t') + '\n';
}

/** The two marks of a row that is not rejected. */
const MARKS = `${COPY_NULL}\t${COPY_NULL}\n`;

/** One row as a line of COPY text, with its marks. A value that broke a rule is left out of the rejected row's values, never shown cut. */
export function rowLine(row: readonly Cell[], columns: readonly ColumnSpec[]): string {
  const fields = fieldsOf(row, columns);
  return fields === null ? rejectedRow(row, columns) : `${fields}\t${MARKS}`;
}

/** One row as a line without marks; null where it is to be rejected. */
export function plainLine(row: readonly Cell[], columns: readonly ColumnSpec[]): string | null {
  const fields = fieldsOf(row, columns);
  return fields === null ? null : `${fields}\n`;
}

function fieldsOf(row: readonly Cell[], columns: readonly ColumnSpec[]): string | null {
  let line: string | null = null;
  for (const column of columns) {
    const value = row[column.at] ?? null;
    const text = value === null ? COPY_NULL : field(value, row, column);
    if (text === null) return null;
    line = line === null ? text : line + '\t' + text;
  }
  return line ?? '';
}
