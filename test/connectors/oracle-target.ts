/** The least of an engine for Oracle: streams made by hand, and a map of rows that keeps the position as JSON. */
import type { Readable } from 'node:stream';
import type { IncrementalRead, SourceSession, StreamRead } from '../../connectors/connector.ts';
import { typeOf } from '../../connectors/oracle/types.ts';
import type { Position } from '../../schemas/position.ts';
import type { Column } from '../../schemas/table.ts';

export function column(name: string, nativeType: string, nullable = false): Column {
  const { pgType, order } = typeOf(nativeType);
  return { name, targetName: name.toLowerCase(), nativeType, pgType, nullable, order };
}

export function streamOf(table: string, columns: readonly Column[], cursor: string | null, key: readonly string[] = ['ID'], more: Partial<StreamRead> = {}): StreamRead {
  return {
    table: { schema: 'BANK', name: table, kind: 'table', identity: `id of ${table}`, columns, key, indexedColumns: [], rowEstimate: -1, bytesEstimate: -1 },
    columns: columns.map((each) => each.name), key, cursor, overlapSeconds: 60, futureLimitSeconds: 86_400, fetchRows: 100, types: {}, ...more,
  };
}

export async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

/** A destination: the last version of each key. */
export class Target {
  readonly rows = new Map<string, string>();
  position: Position | null = null;
  read = 0;
  batches = 0;

  async batch(session: SourceSession, stream: StreamRead, rowsMax: number): Promise<IncrementalRead> {
    const read = await session.readFrom(stream, this.position, { rowsMax }, 'copy-text');
    this.load(await textOf(read.stream));
    this.position = JSON.parse(JSON.stringify(read.to)) as Position;
    this.read += read.rowsRead();
    this.batches += 1;
    return read;
  }

  load(text: string): void {
    const lines = text === '' ? [] : text.slice(0, -1).split('\n');
    const keys = lines.map((line) => line.split('\t')[0] as string);
    expect(new Set(keys).size).toBe(keys.length);
    for (const line of lines) this.rows.set(line.split('\t')[0] as string, line.replace(/\t\\N\t\\N$/, ''));
  }

  /** One run: batches until there are no more. Returns the rows read. */
  async run(session: SourceSession, stream: StreamRead, rowsMax = 3): Promise<number> {
    const before = this.read;
    for (let limit = 0; limit < 1000; limit += 1) if (!(await this.batch(session, stream, rowsMax)).more) return this.read - before;
    throw new Error('a run does not end');
  }
}
