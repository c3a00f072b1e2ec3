/** What a stream does about rows that are deleted at its source: decided once, from its settings and the shape of its table. */
import type { StageDeletes } from '../../destinations/postgres/deletes.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { StreamSettings } from '../../schemas/settings.ts';
import type { Column } from '../../schemas/table.ts';
import type { MaskPlan } from '../masks/masked-columns.ts';

export interface PlannedDeletes {
  readonly detect: 'tombstone' | 'scan';
  readonly apply: 'soft' | 'hard';
  /** Of `tombstone`: target name of the column, and the value that means deleted. */
  readonly tombstone: StageDeletes['tombstone'];
  /** Of `scan`: seconds between two; null: only when asked for. */
  readonly everySeconds: number | null;
}

export interface DeletesScope {
  readonly stream: StreamSettings;
  /** Finds a column by its name in the file; throws `source.column_missing`. */
  readonly find: (name: string) => Column;
  /** Columns that are read. */
  readonly columns: readonly Column[];
  /** Source names. */
  readonly key: readonly string[];
  readonly masks: MaskPlan;
}

/** Throws `config.invalid` or `config.unsupported` where the setting can't be kept as written. */
export function planDeletes({ stream, find, columns, key, masks }: DeletesScope): PlannedDeletes | null {
  const { deletes } = stream;
  if (deletes === null) return null;
  if (stream.mode === 'append') throw refuse('config.unsupported', stream, 'is in mode append, which keeps every row', 'Write deletes: null in the stream, or use mode: upsert.');
  if (deletes.apply === 'soft' && key.length === 0) throw refuse('config.unsupported', stream, 'has no key, by which deleted rows could be kept', 'Name the columns that identify a row with key: [...], or write apply: hard.');
  if (deletes.detect === 'scan') {
    const changed = key.map((name) => columns.find((column) => column.name === name)?.targetName).find((name) => name !== undefined && name in stream.transforms);
    if (changed !== undefined) throw refuse('config.unsupported', stream, `transforms its key column ${changed}, so its keys can't be compared with the source's`, 'Take the transform away, or use detect: tombstone.');
    return { detect: 'scan', apply: deletes.apply, tombstone: null, everySeconds: deletes.everySeconds };
  }
  const column = find(deletes.column);
  const read = columns.find((each) => each.name === column.name);
  if (read === undefined || masks.dropped.includes(column.name)) throw refuse('config.invalid', stream, `does not read the column ${column.name}, which says that a row is deleted`, 'Take it out of columns.exclude, add it to columns.include, and do not drop it.');
  if (masks.columns.some((each) => each.name === column.name)) throw refuse('config.invalid', stream, `masks the column ${column.name}, which says that a row is deleted`, 'Lift the mask of this column with none.');
  if (read.targetName in stream.transforms) throw refuse('config.invalid', stream, `transforms the column ${column.name}, which says that a row is deleted`, 'Give the result another name with transform: { OTHER: ... }.');
  if (key.includes(column.name)) throw refuse('config.invalid', stream, `names the key column ${column.name} as the one that says that a row is deleted`, 'Name a column that changes when the row is deleted.');
  return { detect: 'tombstone', apply: deletes.apply, tombstone: { column: read.targetName, is: deletes.is }, everySeconds: null };
}

function refuse(code: 'config.invalid' | 'config.unsupported', stream: StreamSettings, what: string, hint: string): TidemarkError {
  return new TidemarkError(code, `Stream ${stream.name} has deletes: and ${what}.`, { hint });
}

/** What `plan` says of it. */
export function deletesNotes(deletes: PlannedDeletes | null, rebuild: boolean): string[] {
  if (deletes === null) return [];
  if (deletes.detect === 'scan' && rebuild) return ['every run is a full refresh, which sees deletes by itself: no scan is needed'];
  if (deletes.detect === 'scan' && deletes.everySeconds === null) return ['deletes are looked for by tidemark sync --detect-deletes only'];
  return [];
}
