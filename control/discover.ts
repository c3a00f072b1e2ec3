/** What a source of the file holds, as far as its user may read: to choose streams from. */
import { connectSource, type Variables } from '../connectors/connect-source.ts';
import { proposeCursor } from '../connectors/propose-cursor.ts';
import { registerSecret } from '../runtime/secret-masking.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Settings } from '../schemas/settings.ts';
import type { ServerFacts, TableShape } from '../schemas/table.ts';
import { sourcesOfFile } from './check.ts';

export interface DiscoveredColumn {
  readonly name: string;
  readonly nativeType: string;
  /** Name and PostgreSQL type of the column in the target. */
  readonly targetName: string;
  readonly targetType: string;
  readonly nullable: boolean;
  /** Part of the key. */
  readonly key: boolean;
  /** Where the mapping changes the type's nature. */
  readonly note: string | null;
}

export interface DiscoveredTable {
  readonly schema: string;
  readonly name: string;
  readonly kind: TableShape['kind'];
  /** By the source's statistics; null where it has none. */
  readonly rowEstimate: number | null;
  readonly bytesEstimate: number | null;
  /** Empty: without a key every run is a full refresh. */
  readonly key: readonly string[];
  /** The column that a stream of this table would follow where the file names none; null: every run is a full refresh. */
  readonly proposedCursor: string | null;
  readonly columns: readonly DiscoveredColumn[];
}

export interface Discovery {
  readonly source: string;
  readonly kind: string;
  readonly server: Omit<ServerFacts, 'identity' | 'warnings'>;
  /** The databases that this connection reaches. */
  readonly databases: readonly string[];
  readonly schemas: readonly string[];
  readonly tables: readonly DiscoveredTable[];
}

export interface DiscoverOptions {
  readonly variables: Variables;
  readonly signal: AbortSignal;
  /** Only tables of this name, with or without its schema; null: all. */
  readonly table: string | null;
}

/** Reads the source's catalog. Throws what connecting throws, `usage.unknown_source`, `source.table_missing`. */
export async function discoverSource(settings: Settings, id: string, options: DiscoverOptions): Promise<Discovery> {
  const source = sourcesOfFile(settings, [id])[0]!;
  const session = await connectSource(source, { variables: options.variables, signal: options.signal, onSecret: registerSecret });
  try {
    const { product, version, database, user, timezone } = await session.server();
    const all = await session.discover();
    const tables = options.table === null ? all : all.filter((table) => isNamed(table, options.table!));
    if (options.table !== null && tables.length === 0) {
      throw new TidemarkError('source.table_missing', `Source ${id} has no table ${options.table} that its user may read.`, { hint: `List all with tidemark discover ${id}.` });
    }
    return {
      source: id,
      kind: source.kind,
      server: { product, version, database, user, timezone },
      databases: [database],
      schemas: [...new Set(all.map((table) => table.schema))].sort(),
      tables: tables.map(discovered),
    };
  } finally {
    await session.close();
  }
}

function isNamed(table: TableShape, name: string): boolean {
  return [table.name, `${table.schema}.${table.name}`].some((each) => each.toLowerCase() === name.toLowerCase());
}

function discovered(table: TableShape): DiscoveredTable {
  return {
    schema: table.schema,
    name: table.name,
    kind: table.kind,
    rowEstimate: table.rowEstimate < 0 ? null : table.rowEstimate,
    bytesEstimate: table.bytesEstimate < 0 ? null : table.bytesEstimate,
    key: table.key,
    proposedCursor: proposeCursor(table),
    columns: table.columns.map((column) => ({
      name: column.name,
      nativeType: column.nativeType,
      targetName: column.targetName,
      targetType: column.pgType,
      nullable: column.nullable,
      key: table.key.includes(column.name),
      note: column.note ?? null,
    })),
  };
}
