import type { TableShape } from '../schemas/table.ts';

/** Names under which applications keep the time of a row's last change, most telling first. */
const CHANGE_NAMES = [
  /^(last_?)?(updated?|modified|changed?|upd|mod)_?(at|on|time|ts|timestamp|date|datetime|dt)?$/i,
  /^(row_?change|rowversion|last_?(update|change|modif)\w*|update_?(time|ts|timestamp|date)|(time|date)_?(updated|modified|changed))$/i,
];

/**
 * Proposes the column that tells what is new, or null. Only columns that follow a clock and by their name hold the time of the
 * last change: a creation time or a counter misses updates, so they are used only where the file says so.
 */
export function proposeCursor(table: TableShape): string | null {
  const candidates = table.columns
    .filter((column) => column.order === 'time')
    .map((column) => ({ name: column.name, rank: CHANGE_NAMES.findIndex((pattern) => pattern.test(column.name)), indexed: table.indexedColumns.includes(column.name) }))
    .filter((candidate) => candidate.rank >= 0)
    .sort((a, b) => Number(b.indexed) - Number(a.indexed) || a.rank - b.rank);
  return candidates[0]?.name ?? null;
}
