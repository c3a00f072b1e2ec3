/** Reads the bytes of COPY's text format as its documentation has it (PostgreSQL manual, COPY, "Text Format"). */
import type { Readable } from 'node:stream';
import type { RowRead } from '../../connectors/connector.ts';

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

function unescape(field: string): string | null {
  if (field === '\\N') return null;
  return field.replaceAll(/\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)/g, (_, code: string) => {
    if (/^x/.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8));
    return ESCAPES[code] ?? code;
  });
}

async function bytesOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export interface ReadRows {
  readonly rows: readonly (readonly (string | null)[])[];
  /** Rows that the connector marked as refused, by their place in `rows`. */
  readonly refused: readonly number[];
}

/** Reads a RowRead in copy-text to its end; checks that each line has a field for each column, and that it counted its rows. */
export async function readRows(read: RowRead, columns: number): Promise<ReadRows> {
  const text = (await bytesOf(read.stream)).toString('utf8');
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  const fields = lines.map((line) => line.split('\t').map(unescape));
  const expected = columns + (read.marksRejects ? 2 : 0);
  for (const row of fields) if (row.length !== expected) throw new Error(`a row has ${row.length} fields instead of ${expected}`);
  if (read.rowsRead() !== fields.length) throw new Error(`rowsRead() says ${read.rowsRead()}, the stream had ${fields.length}`);
  const refused = read.marksRejects ? fields.flatMap((row, index) => (row[columns] === null ? [] : [index])) : [];
  return { rows: fields.map((row) => row.slice(0, columns)), refused };
}
