import type { Column } from '../../schemas/table.ts';
import { isOrderable } from './columns.ts';

/** One column of a constraint or an index, in its order. */
export interface KeyColumn {
  /** Kind letter and name: `P` primary key, `U` unique constraint, `X` unique index, `I` any other index. */
  readonly index: string;
  readonly column: string;
}

/**
 * The primary key, else the shortest unique constraint, else the shortest unique index over columns that are all NOT NULL;
 * empty where there is none. An index over expressions names columns that the table does not have, and is no key.
 */
export function chooseKey(columns: readonly Column[], constraints: readonly KeyColumn[], indexes: readonly KeyColumn[]): { readonly key: readonly string[]; readonly indexedColumns: readonly string[] } {
  const filled = new Set(columns.filter((column) => !column.nullable && isOrderable(column.nativeType)).map((column) => column.name));
  const known = new Set(columns.map((column) => column.name));
  const holds = (index: string, name: string): boolean => (index.startsWith('P ') ? known.has(name) : filled.has(name));
  const candidates = [...namesOf(constraints), ...namesOf(indexes)].filter(([index, names]) => /^[PUX] /.test(index) && names.every((name) => holds(index, name)));
  const rank = ([index, names]: readonly [string, readonly string[]]): readonly [number, number] => ['PUX'.indexOf(index.charAt(0)), names.length] as const;
  const best = candidates.sort((a, b) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1] || (a[0] < b[0] ? -1 : 1))[0];
  const first = [...namesOf(indexes).values()].map((names) => names[0]).filter((name) => name !== undefined && known.has(name)) as string[];
  return { key: best?.[1] ?? [], indexedColumns: [...new Set(first)] };
}

function namesOf(rows: readonly KeyColumn[]): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const { index, column } of rows) groups.set(index, [...(groups.get(index) ?? []), column]);
  return groups;
}
