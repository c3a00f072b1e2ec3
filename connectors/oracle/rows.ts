/** Statements of one snapshot as rows of COPY text: fetched block by block when the reader asks for more. */
import { COPY_NULL, copyStream, escapeCopyText, textDefect } from '../copy-text.ts';
import type { RowRead, StreamRead } from '../connector.ts';
import type { Column } from '../../schemas/table.ts';
import type { OracleClient } from './client.ts';
import { columnOf, selectItems } from './columns.ts';
import type { OracleLob, OracleRow } from './driver.ts';
import { isLarge, readLob, type LargeField } from './large-value.ts';
import type { Statement } from './binds.ts';
import { typeOf, type Kind } from './types.ts';
import { conversionOf, type Defect, type Field, type Scalar } from './values.ts';

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
 * Reads the statements one after the other; they name their snapshot's SCN, or the session's transaction is the snapshot. The session serves nothing else until the stream
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
            for (const piece of await copyRow(client, projection.fields, row, where)) {
              if (typeof piece === 'string') text += piece;
              if (text.length < CHUNK_LENGTH && typeof piece === 'string') continue;
              if (text !== '') yield Buffer.from(text, 'utf8');
              text = '';
              if (typeof piece !== 'string') yield piece;
            }
            count += 1;
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

type ReadField = Field | LargeField | typeof NULL_FIELD;

const NULL_FIELD: { readonly text: null; readonly defect: null } = { text: null, defect: null };

/** One row: its fields, and two more that say what is wrong with it. In pieces where a value is large. */
async function copyRow(client: OracleClient, fields: readonly FieldReader[], row: OracleRow, where: string): Promise<readonly (string | Buffer)[]> {
  const values: ReadField[] = [];
  for (const field of fields) values.push(await readField(client, field, row, where));
  const rejects = values.flatMap(({ defect }, index): readonly Reject[] => (defect === null ? [] : [{ column: (fields[index] as FieldReader).name, code: defect }]));
  if (rejects.length > 0) {
    const record = Object.fromEntries(fields.map((field, index) => [field.name, recordedValue(values[index] ?? NULL_FIELD)]));
    return [`${`${COPY_NULL}\t`.repeat(fields.length)}${escapeCopyText(JSON.stringify(rejects))}\t${escapeCopyText(JSON.stringify(record))}\n`];
  }
  const end = `${COPY_NULL}\t${COPY_NULL}\n`;
  if (!values.some(isLarge)) return [`${values.map(copyField).join('\t')}\t${end}`];
  return [...values.flatMap((value) => (isLarge(value) ? [...value.pieces, '\t'] : [`${copyField(value)}\t`])), end];
}

function copyField(value: ReadField): string {
  return isLarge(value) || value.text === null ? COPY_NULL : escapeCopyText(value.text);
}

/** A value of a rejected row as text that jsonb takes: what no PostgreSQL text can hold is `\x` and the digits of its UTF-16. */
function recordedValue(value: ReadField): string | null {
  if (isLarge(value)) return `(left out: ${value.units} bytes or characters)`;
  if (value.text === null) return null;
  if (value.text.length > REJECT_VALUE_LENGTH_MAX) return `(left out: ${value.text.length} characters)`;
  return textDefect(value.text) === null ? value.text : `\\x${Buffer.from(value.text, 'utf16le').swap16().toString('hex')}`;
}

async function readField(client: OracleClient, field: FieldReader, row: OracleRow, where: string): Promise<ReadField> {
  const value = row[field.at] ?? null;
  if (field.items === 1) return value !== null && isLob(value) ? readLob(client, value, field, where) : convertScalar(field, value);
  const locator = row[field.at + 1] ?? null;
  if (locator !== null && isLob(locator)) return readLob(client, locator, field, where);
  // Short LOBs stand behind a dot, which tells an empty one from NULL.
  return typeof value === 'string' ? field.convert(value.slice(1)) : NULL_FIELD;
}

function convertScalar(field: FieldReader, value: Scalar | null): Field | typeof NULL_FIELD {
  return value === null ? NULL_FIELD : field.convert(value);
}

function isLob(value: Scalar | OracleLob): value is OracleLob {
  return typeof value === 'object' && !Buffer.isBuffer(value);
}
