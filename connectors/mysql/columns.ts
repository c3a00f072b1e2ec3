/** Each column in SQL: how it is selected, how it is compared, and how a value read from it is written back as a literal. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Column, TableShape } from '../../schemas/table.ts';
import type { StreamRead } from '../connector.ts';
import { quoteName, quoteText } from './quoting.ts';
import { baseType } from './types.ts';

export function columnOf(table: TableShape, name: string): Column {
  const column = table.columns.find((each) => each.name === name);
  if (column !== undefined) return column;
  throw new TidemarkError('source.column_missing', `Table ${table.schema}.${table.name} has no column ${name}.`);
}

/**
 * The cursor of a stream that has one. Throws `source.cursor_missing`, and `source.cursor_unusable` for a column whose order says nothing
 * about when a row came: a new text may sort before the watermark ('10' before '9'), and no later read would find it.
 */
export function cursorOf(stream: StreamRead): Column {
  const { table, cursor } = stream;
  const column = table.columns.find((each) => each.name === cursor);
  if (column === undefined) throw new TidemarkError('source.cursor_missing', `Table ${table.schema}.${table.name} has no column ${cursor ?? ''} to serve as cursor.`);
  if (column.order === 'time' || column.order === 'number') return column;
  throw new TidemarkError('source.cursor_unusable', `Column ${column.name} of ${table.schema}.${table.name} is ${column.nativeType}, which can't serve as cursor.`, {
    hint: 'Choose a column of times or numbers that grows, or none: then each run reads the whole table.',
  });
}

/**
 * What a row's column is read with. A FLOAT prints six digits; as a double it prints all that its 32 bits hold.
 */
export function selectExpression(column: Column): string {
  const name = quoteName(column.name);
  return baseType(column) === 'float' ? `(${name}+0e0)` : name;
}

/** enum and set are ordered by number but compared with literals as text: only the number does both alike. */
const BY_NUMBER = new Set(['enum', 'set']);

/** What a key or cursor is compared and ordered by. */
export function compareExpression(column: Column): string {
  const name = quoteName(column.name);
  return BY_NUMBER.has(baseType(column)) ? `(${name}+0)` : name;
}

/** A key or cursor as text that {@link literal} takes back. */
export function textExpression(column: Column): string {
  const base = baseType(column);
  const name = quoteName(column.name);
  if (BY_NUMBER.has(base) || base === 'bit') return `(${name}+0)`;
  if (base === 'binary' || base === 'varbinary') return `HEX(${name})`;
  return selectExpression(column);
}

const SHAPES: readonly (readonly [RegExp, RegExp, (text: string) => string])[] = [
  [/^(float|double)$/, /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i, (text) => (/e/i.test(text) ? text : `${text}e0`)],
  [/^(\w*int|decimal|bit|year|enum|set)$/, /^-?\d+(\.\d+)?$/, (text) => text],
  [/^(date|datetime|timestamp|time)$/, /^-?[\d:. -]+$/, (text) => `'${text}'`],
  [/^(binary|varbinary)$/, /^([0-9A-F]{2})*$/i, (text) => (text === '' ? "''" : `x'${text}'`)],
  [/./, /^/, quoteText],
];

/** SQL of a value that {@link textExpression} read. Throws `source.history_lost` for text that the column's type never prints. */
export function literal(column: Column, text: string): string {
  const base = baseType(column);
  const shape = SHAPES.find(([types]) => types.test(base));
  if (shape === undefined || !shape[1].test(text)) {
    throw new TidemarkError('source.history_lost', `The stored position does not fit the type of column ${column.name}.`, {
      hint: 'The column\'s type has changed. Reset the stream to build it anew.',
    });
  }
  return shape[2](text);
}
