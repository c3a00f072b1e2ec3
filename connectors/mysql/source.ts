/** What the reads of one session share. */
import type { Guarantee } from '../../schemas/position.ts';
import type { TableShape } from '../../schemas/table.ts';
import type { RowRead, StreamRead } from '../connector.ts';
import { isExact, type Ground } from './bounds.ts';
import { engineOf } from './catalog.ts';
import { columnOf } from './columns.ts';
import type { OpenConnection } from './connection.ts';
import { openRowStream, type RowStream } from './row-stream.ts';
import { readIdentity, readSight } from './server.ts';
import { encodingOf } from './types.ts';
import { tableName } from './watermark.ts';

export interface Source {
  readonly connection: OpenConnection;
  identity(): Promise<string>;
  ground(table: TableShape): Promise<Ground>;
  guarantee(stream: StreamRead): Promise<Guarantee>;
  /** Opens rows; the session remembers them until they end. */
  open(stream: StreamRead, statements: readonly string[], marks: boolean): RowStream;
}

export interface SourceOptions {
  readonly silenceMs: number;
  readonly signal: AbortSignal;
  readonly onOpen: (rows: RowStream) => void;
}

export function createSource(connection: OpenConnection, options: SourceOptions): Source {
  let identity: Promise<string> | undefined;
  const ground = async (table: TableShape): Promise<Ground> => ({
    engine: table.kind === 'view' ? null : await engineOf(connection, table),
    sight: await readSight(connection),
  });
  return {
    connection,
    identity: () => (identity ??= readIdentity(connection)),
    ground,
    guarantee: async (stream) => (isExact(await ground(stream.table)) ? 'exact' : `within ${stream.overlapSeconds}s`),
    open: (stream, statements, marks) => {
      const rows = openRowStream({
        connection,
        statements,
        fields: stream.columns.map((name) => {
          const column = columnOf(stream.table, name);
          return { name, encoding: encodingOf(column), bits: Number(/^bit\((\d+)\)/.exec(column.pgType)?.[1] ?? '0') };
        }),
        zeroDates: stream.types?.['zero_dates'] === 'null' ? 'null' : 'reject',
        marks,
        what: tableName(stream),
        silenceMs: options.silenceMs,
        signal: options.signal,
      });
      options.onOpen(rows);
      return rows;
    },
  };
}

/** Statements of the open snapshot as the contract's rows. */
export function rowsOf(source: Source, stream: StreamRead, statements: readonly string[], marks = true): RowRead {
  return { format: 'copy-text', marksRejects: marks, ...source.open(stream, statements, marks) };
}
