/** A stream's settings as they were meant when the table still had the columns that they name. */
import type { Capabilities } from '../connectors/connector.ts';
import type { KnownShape } from '../destinations/postgres/shapes.ts';
import type { StreamSettings } from '../schemas/settings.ts';
import type { TableShape } from '../schemas/table.ts';

/**
 * Leaves out of `columns` and `mask` what names a column that the table had and has no more, so that a drop there is a drop and not a misspelling; keeps
 * a cursor that was found before, whatever other column looks like one now (`full`: it may be found anew).
 */
export function keptSettings(settings: StreamSettings, table: TableShape, known: KnownShape | null, capabilities: Capabilities, full: boolean): StreamSettings {
  if (known === null) return settings;
  const spelled = (name: string, written: string) => name === written || (capabilities.foldsToUpper && name === written.toUpperCase());
  const has = (written: string) => table.columns.some((column) => spelled(column.name, written));
  const gone = (written: string) => !has(written) && known.columns.some((column) => spelled(column.name, written));
  const include = settings.include.filter((name) => !gone(name));
  const keepsCursor = settings.cursor === null && known.mode === settings.mode && !full;
  return {
    ...settings,
    // None left would mean all.
    include: include.length === 0 ? settings.include : include,
    exclude: settings.exclude.filter((name) => !gone(name)),
    masks: Object.fromEntries(Object.entries(settings.masks).filter(([name]) => !gone(name))),
    cursor: keepsCursor ? known.cursor : settings.cursor,
  };
}

/** With `drift: ignore` the table without the columns that came later, but for those that the settings name. */
export function knownPart(settings: StreamSettings, table: TableShape, known: KnownShape | null, capabilities: Capabilities): TableShape {
  if (known === null || settings.drift !== 'ignore') return table;
  const named = new Set([...settings.include, ...settings.exclude, ...Object.keys(settings.masks), ...(settings.key ?? []), ...(settings.cursor === null ? [] : [settings.cursor]), ...table.key]);
  const isNamed = (name: string) => named.has(name) || (capabilities.foldsToUpper && [...named].some((each) => each.toUpperCase() === name));
  return { ...table, columns: table.columns.filter((column) => known.columns.some((each) => each.name === column.name) || isNamed(column.name)) };
}
