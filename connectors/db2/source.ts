/** What the reads of a session share: its server's dialect, its clock, and questions put to it. */
import type { Position } from '../../schemas/position.ts';
import type { TableShape } from '../../schemas/table.ts';
import type { StreamRead } from '../connector.ts';
import type { Dialect, Query, ServerSession } from './dialect.ts';
import { moveClock } from './position.ts';
import type { Row } from './reader-client.ts';
import type { DigestAnswer, ReadRequest } from './reader-protocol.ts';
import { columnNamed } from './reads.ts';
import type { RowStream } from './row-stream.ts';
import { valueText } from './row-line.ts';

export interface Source {
  readonly dialect: Dialect;
  readonly facts: ServerSession;
  /** `server` of this session's positions. */
  readonly identity: string;
  /** Errors name the table. */
  query(stream: StreamRead): Query;
  digest(stream: StreamRead, read: ReadRequest): Promise<DigestAnswer>;
  read(stream: StreamRead, read: ReadRequest): Promise<RowStream>;
}

/** `table` of a position. */
export function tableIdentity(table: TableShape): string {
  return `${table.schema}.${table.name}#${table.identity}`;
}

/** Cells of columns as text that binds to the same values again. */
export function texts(source: Source, stream: StreamRead, names: readonly string[], row: Row): readonly string[] {
  return names.map((name, at) => {
    const cell = row[at] ?? null;
    const kind = source.dialect.valueRead(columnNamed(stream, name))?.kind ?? 'plain';
    // Bytes come out of the reader as hexadecimal digits.
    return cell === null ? '' : kind === 'bytes' ? String(cell) : valueText(cell, { kind });
  });
}

/** A time of the source's own clock as ISO 8601 in UTC. */
export function utc(source: Source, local: string): string {
  const moved = moveClock(local, -source.facts.offsetMinutes * 60);
  return moved.length < 19 ? moved : `${moved.replace(' ', 'T')}Z`;
}

/** How a cursor's value is shown: a time of day in UTC, anything else as it is. */
export function display(source: Source, stream: StreamRead, bound: string | null): string | null {
  if (bound === null || stream.cursor === null) return null;
  return columnNamed(stream, stream.cursor).order === 'time' && bound.length > 10 ? utc(source, bound) : bound;
}

export function positionOf(source: Source, stream: StreamRead, shown: string | null, state: Record<string, unknown>): Position {
  return { server: source.identity, table: tableIdentity(stream.table), display: display(source, stream, shown), state };
}
