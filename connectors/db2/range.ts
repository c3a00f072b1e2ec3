/** Conditions over several columns in keyset order. Row values `(a, b) > (?, ?)` are expanded: neither server compares them. */
import type { Dialect } from './dialect.ts';
import { quoteName } from './names.ts';
import type { Statement } from './reader-protocol.ts';
import { parseType, type NativeType } from './types.ts';

/** A column of the order, with its type. */
export interface OrderedColumn {
  readonly name: string;
  readonly nativeType: string;
}

export const NO_CONDITION: Statement = { sql: '', params: [] };

const BIT_TYPES: readonly NativeType['base'][] = ['BINARY', 'VARBINARY', 'LONG VARBINARY', 'BLOB'];

/** A value as SQL: bound, save bytes, which have no text form to bind and are checked hexadecimal digits. */
function operand(dialect: Dialect, column: OrderedColumn, value: string): Statement {
  const type = parseType(column.nativeType);
  if (!BIT_TYPES.includes(type.base)) return { sql: dialect.parameter(type), params: [value] };
  if (!/^[0-9a-f]*$/i.test(value)) throw new RangeError('a key of bytes is not hexadecimal');
  return { sql: `X'${value}'`, params: [] };
}

export function compare(dialect: Dialect, column: OrderedColumn, operator: '=' | '<' | '<=' | '>' | '>=', value: string): Statement {
  const right = operand(dialect, column, value);
  return { sql: `${quoteName(column.name)} ${operator} ${right.sql}`, params: right.params };
}

function joined(conditions: readonly Statement[], word: 'AND' | 'OR'): Statement {
  const present = conditions.filter(({ sql }) => sql !== '');
  if (present.length <= 1) return present[0] ?? NO_CONDITION;
  return { sql: `(${present.map(({ sql }) => sql).join(` ${word} `)})`, params: present.flatMap(({ params }) => params) };
}

export const all = (...conditions: readonly Statement[]): Statement => joined(conditions, 'AND');

/**
 * `columns` after, or not after, `values` in keyset order: `a > ? OR a = ? AND b > ?`. The first column's own bound is repeated in
 * front, since without it neither server walks an index.
 */
function beside(dialect: Dialect, columns: readonly OrderedColumn[], values: readonly string[], operator: '<' | '>', inclusive: boolean): Statement {
  const branches = columns.map((column, at) => {
    const equal = columns.slice(0, at).map((before, place) => compare(dialect, before, '=', values[place] ?? ''));
    const last = inclusive && at === columns.length - 1 ? (`${operator}=` as const) : operator;
    return all(...equal, compare(dialect, column, last, values[at] ?? ''));
  });
  const first = columns[0];
  if (first === undefined) return NO_CONDITION;
  if (columns.length === 1) return branches[0] ?? NO_CONDITION;
  return all(compare(dialect, first, `${operator}=`, values[0] ?? ''), joined(branches, 'OR'));
}

export function after(dialect: Dialect, columns: readonly OrderedColumn[], values: readonly string[] | null): Statement {
  return values === null ? NO_CONDITION : beside(dialect, columns, values, '>', false);
}

export function upTo(dialect: Dialect, columns: readonly OrderedColumn[], values: readonly string[] | null): Statement {
  return values === null ? NO_CONDITION : beside(dialect, columns, values, '<', true);
}

export function where(condition: Statement): Statement {
  return condition.sql === '' ? condition : { sql: ` WHERE ${condition.sql}`, params: condition.params };
}

export function orderBy(columns: readonly OrderedColumn[], direction: 'ASC' | 'DESC' = 'ASC'): string {
  return columns.length === 0 ? '' : ` ORDER BY ${columns.map(({ name }) => (direction === 'ASC' ? quoteName(name) : `${quoteName(name)} DESC`)).join(', ')}`;
}
