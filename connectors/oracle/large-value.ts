/** LOBs, read piece by piece. */
import { TidemarkError } from '../../schemas/errors.ts';
import { escapeCopyText } from '../copy-text.ts';
import type { OracleClient } from './client.ts';
import type { OracleLob } from './driver.ts';
import type { Kind } from './types.ts';
import { textDefectOf, type Defect, type Field } from './values.ts';

/** Bytes (or UTF-16 units) of a LOB in one round trip. */
const PIECE_UNITS = 1 << 20;

/** PostgreSQL takes 1 GB in a row, and a BLOB doubles as hexadecimal digits. */
const UNITS_MAX = 200_000_000;

/** A value that is kept as the bytes of its COPY field, since a text of it and of its escaped form would each take its size. */
export interface LargeField {
  readonly pieces: readonly Buffer[];
  /** Bytes or UTF-16 units at the source. */
  readonly units: number;
  readonly defect: Defect | null;
}

export function isLarge(field: Field | LargeField | { readonly text: null }): field is LargeField {
  return 'pieces' in field;
}

/** A LOB of a row; short ones, and JSON, whose escapes are looked at as a whole, as a text. The locator is released. */
export async function readLob(client: OracleClient, lob: OracleLob, column: { readonly name: string; readonly kind: Kind; convert(text: string): Field }, where: string): Promise<Field | LargeField> {
  const pieces = piecesOf(client, lob, `${where}, column ${column.name}`);
  try {
    if (lob.length > UNITS_MAX) return { pieces: [], units: lob.length, defect: 'value.too_large' };
    if (lob.length <= PIECE_UNITS || column.kind === 'json') {
      let text = '';
      for await (const piece of pieces) text += typeof piece === 'string' ? piece : piece.toString('hex');
      return column.convert(text);
    }
    return column.kind === 'blob' ? await largeBytes(pieces, lob.length) : await largeText(pieces, lob.length);
  } finally {
    lob.destroy();
  }
}

async function* piecesOf(client: OracleClient, lob: OracleLob, where: string): AsyncGenerator<string | Buffer> {
  for (let offset = 1; offset <= lob.length; ) {
    const piece = await client.during(where, () => lob.getData(offset, Math.min(PIECE_UNITS, lob.length - offset + 1)));
    if (piece === null || piece.length === 0) throw new TidemarkError('source.read_interrupted', `${where}: A large value ended before its length.`);
    yield piece;
    offset += piece.length;
  }
}

async function largeBytes(source: AsyncIterable<string | Buffer>, units: number): Promise<LargeField> {
  const pieces = [Buffer.from('\\\\x')];
  for await (const piece of source) pieces.push(Buffer.from(Buffer.from(piece as Buffer).toString('hex'), 'latin1'));
  return { pieces, units, defect: null };
}

/** A piece may end between the halves of a surrogate pair; the first half then goes with the next one. */
async function largeText(source: AsyncIterable<string | Buffer>, units: number): Promise<LargeField> {
  const pieces: Buffer[] = [];
  let defect: Defect | null = null;
  let carried = '';
  for await (const piece of source) {
    const text = carried + String(piece);
    carried = /[\uD800-\uDBFF]$/.test(text) ? text.slice(-1) : '';
    const whole = carried === '' ? text : text.slice(0, -1);
    defect ??= textDefectOf(whole);
    if (defect === null) pieces.push(Buffer.from(escapeCopyText(whole), 'utf8'));
    else pieces.length = 0;
  }
  return { pieces, units, defect: defect ?? (carried === '' ? null : 'text.not_unicode') };
}
