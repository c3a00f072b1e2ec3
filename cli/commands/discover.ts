import type { DiscoveredTable, Discovery } from '../../control/discover.ts';
import type { CliContext, Register } from '../context.ts';
import { placeOf } from '../place.ts';

export const register: Register = (program, context) => {
  program
    .command('discover')
    .argument('<source>', 'a source of the file')
    .description('databases, schemas, tables, views, columns, keys, row estimates, proposed cursor')
    .option('--table <name>', 'only this table, with or without its schema')
    .action(async (source: string, options: { table?: string }) => {
      const { readFile, variablesOf } = await import('../../control/open.ts');
      const { discoverSource } = await import('../../control/discover.ts');
      const place = await placeOf(context);
      const { settings } = await readFile(place, false);
      const found = await discoverSource(settings, source, { variables: variablesOf(place), signal: context.signal(), table: options.table ?? null });
      await context.output.result({ ok: true, ...found }, () => discoveryText(context, found));
    });
};

async function discoveryText(context: CliContext, found: Discovery): Promise<string> {
  const { output } = context;
  const { server } = found;
  const about = `${found.source}: ${server.product} ${server.version}, database ${server.database}, schemas ${found.schemas.join(', ') || 'none'}`;
  if (found.tables.length === 0) return `${about}\nNo table or view that ${server.user} may read.`;
  const tables = await output.table(
    ['table', 'kind', 'rows', 'key', 'proposed cursor'],
    found.tables.map((table) => [nameOf(table), table.kind, table.rowEstimate?.toLocaleString('en-US') ?? '', table.key.join(', '), table.proposedCursor ?? '']),
  );
  const columns = await output.table(
    ['table', 'column', 'type', 'target column', 'target type', 'null', 'key'],
    found.tables.flatMap((table) =>
      table.columns.map((column) => [nameOf(table), column.name, column.nativeType, column.targetName, column.targetType, column.nullable ? 'null' : 'not null', column.key ? 'key' : '']),
    ),
  );
  return `${about}\n\n${tables}\n\n${columns}`;
}

function nameOf(table: DiscoveredTable): string {
  return table.schema === '' ? table.name : `${table.schema}.${table.name}`;
}
