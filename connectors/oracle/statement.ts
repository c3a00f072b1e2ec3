/** Clauses, and the comparisons of a keyset. */
import type { Binds } from './binds.ts';
import { ALIAS, type OrderColumn } from './columns.ts';
import { quoteTable } from './names.ts';

/** `FROM` with the alias that {@link OrderColumn.compared} uses. */
export function from(table: { readonly schema: string; readonly name: string }): string {
  return `FROM ${quoteTable(table)} ${ALIAS}`;
}

/** The same in a snapshot: at its SCN, or as the session's transaction sees the table. */
export function fromAt(binds: Binds, table: { readonly schema: string; readonly name: string }, snapshot: { readonly scn: string | null }): string {
  return snapshot.scn === null ? from(table) : `FROM ${quoteTable(table)} AS OF SCN TO_NUMBER(${binds.add(snapshot.scn)}) ${ALIAS}`;
}

export function where(conditions: readonly (string | null)[]): string {
  const kept = conditions.filter((each) => each !== null);
  return kept.length === 0 ? '' : ` WHERE ${kept.join(' AND ')}`;
}

/** Values of all columns of a keyset, as their texts. */
export type Point = readonly string[];

/**
 * True for rows beyond `point` in the order of the columns. Oracle has no `(a, b) > (x, y)`; the plain comparison of the first
 * column before the expanded one lets its index serve.
 */
export function beyond(binds: Binds, columns: readonly OrderColumn[], point: Point): string {
  return keyset(binds, columns, point, '>', '>');
}

/** True for rows up to and with `point`. */
export function upTo(binds: Binds, columns: readonly OrderColumn[], point: Point): string {
  return keyset(binds, columns, point, '<', '<=');
}

function keyset(binds: Binds, columns: readonly OrderColumn[], point: Point, sign: '<' | '>', last: string): string {
  const values = columns.map((column, index) => column.bound(binds, point[index] as string));
  const level = (index: number): string => {
    const { compared } = columns[index] as OrderColumn;
    const value = values[index] as string;
    if (index === columns.length - 1) return `${compared} ${last} ${value}`;
    return `(${compared} ${sign} ${value} OR (${compared} = ${value} AND ${level(index + 1)}))`;
  };
  if (columns.length === 1) return level(0);
  return `${(columns[0] as OrderColumn).compared} ${sign}= ${values[0]} AND ${level(0)}`;
}
