/** Both spellings of the file under one view: where its sources are and what their keys are called. */
import type { z } from 'zod';
import { endpointSchema, sourceSchema, type SourceConfig } from '../../schemas/config.ts';
import type { Path } from '../../schemas/config-coercion.ts';

export interface Spelling {
  /** The list of sources. */
  readonly list: 'sources' | 'endpoints';
  /** A source's key for its connector. */
  readonly kind: 'kind' | 'db_type';
  /** A source's key for its streams. */
  readonly streams: 'streams' | 'tables';
  /** Used where the file names no destination. */
  readonly destinationUrl: string | null;
  /** A parsed source of this spelling in the words of `sources`. */
  readonly toSource: (parsed: z.output<typeof sourceSchema> | z.output<typeof endpointSchema>) => SourceConfig;
  readonly schema: typeof sourceSchema | typeof endpointSchema;
}

const SOURCES: Spelling = {
  list: 'sources', kind: 'kind', streams: 'streams', destinationUrl: null,
  schema: sourceSchema,
  toSource: (parsed) => parsed as SourceConfig,
};

const ENDPOINTS: Spelling = {
  list: 'endpoints', kind: 'db_type', streams: 'tables', destinationUrl: '${DESTINATION_URL}',
  schema: endpointSchema,
  toSource: (parsed) => {
    const { db_type: kind, tables: streams, ...same } = parsed as z.output<typeof endpointSchema>;
    return { ...same, kind, streams };
  },
};

export function spellingOf(data: unknown): Spelling {
  return isGroup(data) && Object.hasOwn(data, 'endpoints') && !Object.hasOwn(data, 'sources') ? ENDPOINTS : SOURCES;
}

export const isGroup = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Own value at a path of a tree; undefined where there is none. */
export function valueAt(data: unknown, path: Path): unknown {
  let value = data;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value;
}

export interface Entry {
  readonly path: Path;
  readonly value: Readonly<Record<string, unknown>>;
}

/** The sources of a file that have a source's form, as they stand, valid or not. */
export function sourceEntries(data: unknown, spelling: Spelling): readonly Entry[] {
  return groupsIn(valueAt(data, [spelling.list]), [spelling.list]);
}

/** The streams of a source; a bare name appears as `{ table }`. */
export function streamEntries(source: Entry, spelling: Spelling): readonly Entry[] {
  const list = source.value[spelling.streams];
  const named = Array.isArray(list) ? list.map((item: unknown) => (typeof item === 'string' ? { table: item } : item)) : list;
  return groupsIn(named, [...source.path, spelling.streams]);
}

function groupsIn(list: unknown, path: Path): readonly Entry[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((value: unknown, index) => (isGroup(value) ? [{ path: [...path, index], value }] : []));
}
