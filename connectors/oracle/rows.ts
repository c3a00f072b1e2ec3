/** Statements of one snapshot as rows of COPY text: fetched block by block when the reader asks for more. */
import { COPY_NULL, copyStream, escapeCopyText, textDefect } from '../copy-text.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { RowRead, StreamRead } from '../connector.ts';
import type { Column } from '../../schemas/table.ts';
import type { OracleClient } from './client.ts';
import { columnOf, selectItems } from './columns.ts';
import type { OracleLob, OracleRow } from './driver.ts';
import type { Statement } from './statement.ts';
import { typeOf, type Kind } from './types.ts';
import { conversionOf, type Defect, type Field, type Scalar } from './values.ts';

/** Bytes (or UTF-16 units) of a LOB in one round trip. */
const LOB_PIECE_UNITS = 1 << 20;

/** PostgreSQL takes 1 GB in a row and JavaScript 2^29 characters in a string; a BLOB doubles as hexadecimal digits. */
const LOB_UNITS_MAX = 200_000_000;

/** Characters after which a chunk goes out. */
const CHUNK_LENGTH = 128 * 1024;

/** Rows in one fetch where a value of each may be as large as a LOB, since the driver holds a whole fetch. */
const LONG_FETCH_ROWS = 8;

/** A longer value of a rejected row is left out of its record. */
const REJECT_VALUE_LENGTH_MAX = 1 << 20;

/** One column of the stage: which items of the row carry it, and how they become a field. */
interface FieldReader {
  readonly name: string;
  readonly kind: Kind;
  readonly at: number;
  readonly items: number;
  readonly convert: (value: Scalar) => Field;
}

export interface Projection {
  /** The select list. */
  readonly list: string;
  readonly fields: readonly FieldReader[];
  readonly fetchRows: number;
}

export function projectionOf(stream: StreamRead): Projection {
  const columns = stream.columns.map((name) => columnOf(stream.table, name));
  const fields: FieldReader[] = [];
  const items: string[] = [];
  for (const column of columns) {
    const own = selectItems(column);
    fields.push(fieldReader(column, items.length, own.length));
    items.push(...own);
  }
  const long = fields.some(({ kind }) => kind === 'long' || kind === 'longraw');
  // Named by number: a name of the table may be one that an object of the driver cannot hold, or the same as another.
  const list = items.map((item, index) => `${item} AS c${index}`).join(', ');
  return { list, fields, fetchRows: long ? LONG_FETCH_ROWS : Math.max(1, stream.fetchRows) };
}

function fieldReader(column: Column, at: number, items: number): FieldReader {
  const { kind } = typeOf(column.nativeType);
  return { name: column.name, kind, at, items, convert: conversionOf(column) };
}

/**
 * Reads the statements one after the other in the session's open snapshot. The session serves nothing else until the stream
 * has ended or was destroyed.
 */
export function readRows(client: OracleClient, projection: Projection, statements: readonly Statement[], where: string): RowRead {
  let count = 0;
  async function* chunks(): AsyncGenerator<Buffer> {
    for (const statement of statements) {
      const result = await client.open(statement, projection.fetchRows, where);
      try {
        let text = '';
        for (let rows = await result.getRows(projection.fetchRows); rows.length > 0; rows = await result.getRows(projection.fetchRows)) {
          for (const row of rows) {
            text += await copyRow(client, projection.fields, row, where);
            count += 1;
            if (text.length >= CHUNK_LENGTH) {
              yield Buffer.from(text, 'utf8');
              text = '';
            }
          }
          if (text !== '') yield Buffer.from(text, 'utf8');
          text = '';
        }
      } finally {
        await result.close();
      }
    }
  }
  return { format: 'copy-text', marksRejects: true, stream: copyStream(chunks(), () => client.cancel()), rowsRead: () => count };
}

interface Reject {
  readonly column: string;
  readonly code: Defect;
}

/** One row: its fields, and two more that say what is wrong with it. */
async function copyRow(client: OracleClient, fields: readonly FieldReader[], row: OracleRow, where: string): Promise<string> {
  const rejects: Reject[] = [];
  const values: (string | null)[] = [];
  for (const field of fields) {
    const { text, defect } = await readField(client, field, row, where);
    values.push(text);
    if (defect !== null) rejects.push({ column: field.name, code: defect });
  }
  if (rejects.length === 0) return `${values.map((value) => (value === null ? COPY_NULL : escapeCopyText(value))).join('\t')}\t${COPY_NULL}\t${COPY_NULL}\n`;
  const record = Object.fromEntries(fields.map((field, index) => [field.name, recordedValue(values[index] ?? null)]));
  return `${`${COPY_NULL}\t`.repeat(fields.length)}${escapeCopyText(JSON.stringify(rejects))}\t${escapeCopyText(JSON.stringify(record))}\n`;
}

/** A value of a rejected row as text that jsonb takes: what no PostgreSQL text can hold is `\x` and the digits of its UTF-16. */
function recordedValue(value: string | null): string | null {
  if (value === null) return null;
  if (value.length > REJECT_VALUE_LENGTH_MAX) return `(left out: ${value.length} characters)`;
  return textDefect(value) === null ? value : `\\x${Buffer.from(value, 'utf16le').swap16().toString('hex')}`;
}

const NULL_FIELD: { readonly text: null; readonly defect: null } = { text: null, defect: null };

async function readField(client: OracleClient, field: FieldReader, row: OracleRow, where: string): Promise<Field | typeof NULL_FIELD> {
  const value = row[field.at] ?? null;
  if (field.items === 1) return value !== null && isLob(value) ? readLob(client, field, value, where) : convertScalar(field, value);
  const locator = row[field.at + 1] ?? null;
  if (locator !== null && isLob(locator)) return readLob(client, field, locator, where);
  // Short LOBs stand behind a dot, which tells an empty one from NULL.
  return typeof value === 'string' ? field.convert(value.slice(1)) : NULL_FIELD;
}

function convertScalar(field: FieldReader, value: Scalar | null): Field | typeof NULL_FIELD {
  return value === null ? NULL_FIELD : field.convert(value);
}

function isLob(value: Scalar | OracleLob): value is OracleLob {
  return typeof value === 'object' && !Buffer.isBuffer(value);
}

/** Text of a CLOB, hexadecimal digits of a BLOB, joined from pieces so that no round trip carries more than one. */
async function readLob(client: OracleClient, field: FieldReader, lob: OracleLob, where: string): Promise<Field> {
  try {
    if (lob.length > LOB_UNITS_MAX) return { text: `(left out: ${lob.length} bytes or characters)`, defect: 'value.too_large' };
    let text = '';
    for (let offset = 1; offset <= lob.length; ) {
      const piece = await client.during(where, () => lob.getData(offset, Math.min(LOB_PIECE_UNITS, lob.length - offset + 1)));
      if (piece === null || piece.length === 0) throw new TidemarkError('source.read_interrupted', `${where}: A large value of column ${field.name} ended before its length.`);
      text += typeof piece === 'string' ? piece : piece.toString('hex');
      offset += piece.length;
    }
    return field.convert(text);
  } finally {
    lob.destroy();
  }
}
