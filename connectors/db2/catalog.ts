/** Tables as the contract has them, from a dialect's catalog. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { TableShape } from '../../schemas/table.ts';
import type { CatalogColumn, CatalogIndex, CatalogTable, Dialect, Query } from './dialect.ts';
import { targetNames } from '../folded-names.ts';
import { nearNames, readingsOf, type TableName } from './names.ts';
import { columnOf } from './types.ts';

type TypeChoices = Readonly<Record<string, string>>;

const keyOf = (name: { readonly schema: string; readonly table: string }): string => JSON.stringify([name.schema, name.table]);

/** The primary key, else the shortest unique index over columns that are never null. */
function uniqueKey(columns: readonly CatalogColumn[], indexes: readonly CatalogIndex[]): readonly string[] {
  const primary = indexes.find((index) => index.use === 'primary');
  if (primary !== undefined) return primary.columns;
  const notNull = new Set(columns.filter((column) => !column.nullable).map((column) => column.name));
  const usable = indexes.filter((index) => index.use === 'unique' && index.columns.every((name) => notNull.has(name)));
  return usable.sort((a, b) => a.columns.length - b.columns.length)[0]?.columns ?? [];
}

function shapeOf(table: CatalogTable, columns: readonly CatalogColumn[], indexes: readonly CatalogIndex[], types?: TypeChoices): TableShape {
  const targets = targetNames(columns.map((column) => column.name));
  return {
    ...table,
    columns: columns.map((column, at) => columnOf(column, targets[at] ?? column.name, types)),
    key: uniqueKey(columns, indexes),
    indexedColumns: [...new Set(indexes.map((index) => index.columns[0] ?? ''))].filter((name) => name !== ''),
  };
}

async function shapes(dialect: Dialect, query: Query, table: TableName | null, types?: TypeChoices): Promise<readonly TableShape[]> {
  const tables = await dialect.tables(query, table);
  if (tables.length === 0) return [];
  const columns = Map.groupBy(await dialect.columns(query, table), keyOf);
  const indexes = Map.groupBy(await dialect.indexes(query, table), keyOf);
  return tables.map((each) => {
    const key = keyOf({ schema: each.schema, table: each.name });
    return shapeOf(each, columns.get(key) ?? [], indexes.get(key) ?? [], types);
  });
}

export function discover(dialect: Dialect, query: Query): Promise<readonly TableShape[]> {
  return shapes(dialect, query, null);
}

/** See `SourceSession.describe`. */
export async function describe(dialect: Dialect, query: Query, written: string, currentSchema: string, types?: TypeChoices): Promise<TableShape> {
  for (const reading of readingsOf(written, currentSchema)) {
    const [shape] = await shapes(dialect, query, reading, types);
    if (shape !== undefined) return shape;
  }
  const near = nearNames(written, await dialect.tables(query, null));
  throw new TidemarkError('source.table_missing', `The source has no table ${written}.`, {
    hint: near.length === 0 ? 'Check its name with tidemark discover.' : `Did you mean ${near.join(' or ')}?`,
  });
}
