/** Rows in COPY's binary format through masks: what comes out, whatever the chunks; what is refused; when the format may be used. */
import { createHmac } from 'node:crypto';
import { Readable } from 'node:stream';
import { parseMaskKey, type MaskKeys } from '../../pipeline/masks/mask-key.ts';
import { MaskBinaryRows } from '../../pipeline/masks/mask-binary-rows.ts';
import { mayMaskBinary, type MaskedColumn, type MaskPlan } from '../../pipeline/masks/masked-columns.ts';
import { maskOf } from '../../pipeline/masks/masking.ts';

const SECRET = Buffer.from(Array.from({ length: 32 }, (_, n) => n * 7));
const key = parseMaskKey('k', SECRET.toString('base64'));
const keys: MaskKeys = new Map([['k', key]]);
const HEADER = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
const TRAILER = Buffer.from([0xff, 0xff]);

const column = (index: number, mask: MaskedColumn['mask'], type = 'text'): MaskedColumn => ({ index, name: `C${index}`, targetName: `c${index}`, mask, type });
const plan = (...columns: MaskedColumn[]): MaskPlan => ({ columns, dropped: [], keyAt: [0], positionKey: null });
const hmac = (value: string) => `h1.${key.id}.${createHmac('sha256', SECRET).update(value).digest('hex')}`;

function row(...fields: readonly (string | Buffer | null)[]): Buffer {
  const count = Buffer.alloc(2);
  count.writeInt16BE(fields.length);
  return Buffer.concat([count, ...fields.flatMap((field) => {
    const [length, bytes] = [Buffer.alloc(4), field === null ? Buffer.alloc(0) : Buffer.from(field)];
    length.writeInt32BE(field === null ? -1 : bytes.length);
    return [length, bytes];
  })]);
}

const copyOf = (...rows: readonly Buffer[]): Buffer => Buffer.concat([HEADER, ...rows, TRAILER]);

async function masked(bytes: Buffer, masks: MaskPlan, chunk = bytes.length): Promise<Buffer> {
  const chunks = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, n) => bytes.subarray(n * chunk, (n + 1) * chunk));
  const out: Buffer[] = [];
  const rows = new MaskBinaryRows({ source: 's', stream: 't', masks, columns: 3, marksRejects: false }, keys);
  for await (const part of Readable.from(chunks).pipe(rows)) out.push(Buffer.from(part as Buffer));
  return Buffer.concat(out);
}

test('what comes out does not depend on the chunks, and other columns pass as they are', async () => {
  const masks = plan(column(1, { kind: 'hmac', key: 'k' }), column(2, { kind: 'partial', keep: 4 }));
  const binary = Buffer.from([0, 10, 9, 0xff, 0xff, 92, 78]);
  const bytes = copyOf(row(binary, 'Amina\tJuma\n', '0012345678'), row(null, null, null), row('', '', '€uro-Zürichü'), row(binary, 'x'.repeat(3000), 'abcdé'));
  const expected = copyOf(row(binary, hmac('Amina\tJuma\n'), '****5678'), row(null, null, null), row('', hmac(''), '****ichü'), row(binary, hmac('x'.repeat(3000)), '****bcdé'));
  for (let chunk = 1; chunk <= bytes.length; chunk += chunk < 400 ? 1 : 97) expect((await masked(bytes, masks, chunk)).equals(expected)).toBe(true);
});

test('values of text types are hashed as they are in text: padding falls away, nothing else', async () => {
  const of = async (value: string, type: string) => (await masked(copyOf(row('1', value, 'x')), plan(column(1, { kind: 'hmac', key: 'k' }, type)))).toString('latin1');
  expect(await of('42  ', 'character(4)')).toContain(hmac('42'));
  expect(await of('42  ', 'character varying(4)')).toContain(hmac('42  '));
  expect(await of('42  ', 'text')).toContain(hmac('42  '));
});

test('many rows, and rows larger than a block: as many come out, none changed beside the masked fields', async () => {
  const masks = plan(column(1, { kind: 'redact' }));
  const wide = Buffer.alloc(700_000, 0xfe);
  const rows = (secret: (n: number) => string) => Array.from({ length: 5000 }, (_, n) => row(String(n), secret(n), n % 2000 === 7 ? wide : Buffer.alloc(n % 90, n)));
  const expected = copyOf(...rows(() => '[redacted]'));
  expect((await masked(copyOf(...rows((n) => `secret ${n}`)), masks, 65_537)).equals(expected)).toBe(true);
});

test('no rows at all pass', async () => {
  expect((await masked(copyOf(), plan(column(1, { kind: 'redact' })))).equals(copyOf())).toBe(true);
});

test.each([
  ['a row of another number of fields', copyOf(row('1', 'clear')), 'source.protocol'],
  ['a field of no length', Buffer.concat([HEADER, Buffer.from([0, 3, 0xff, 0xff, 0xff, 0xfe])]), 'source.protocol'],
  ['bytes after the end', Buffer.concat([copyOf(row('1', '2', '3')), row('1', '2', '3')]), 'source.protocol'],
  ['a header with flags', Buffer.concat([HEADER.subarray(0, 11), Buffer.from([0, 1, 0, 0, 0, 0, 0, 0]), row('1', '2', '3'), TRAILER]), 'source.protocol'],
  ['text', Buffer.from('1\tclear value of a column\tx\n'), 'source.protocol'],
  ['rows without an end', Buffer.concat([HEADER, row('1', '2', '3')]), 'source.read_interrupted'],
  ['a row that is cut off', Buffer.concat([HEADER, row('1', '2', '3').subarray(0, -1)]), 'source.read_interrupted'],
  ['nothing', Buffer.from([0]), 'source.read_interrupted'],
  ['a field that is too large', Buffer.concat([HEADER, Buffer.from([0, 3, 0x7f, 0xff, 0xff, 0xff])]), 'batch.row_too_large'],
])('%s is refused', async (_, bytes, code) => {
  for (const chunk of [1, bytes.length]) await expect(masked(bytes, plan(column(1, { kind: 'redact' })), chunk)).rejects.toMatchObject({ code });
});

test('only columns that are text before and after their mask are masked in binary rows', () => {
  const may = (mask: MaskedColumn['mask'], type?: string) => mayMaskBinary(plan(column(1, { kind: 'redact' }), column(2, mask, type)));
  for (const type of ['text', 'character varying', 'character varying(20)', 'character(3)', 'character', 'bpchar']) expect([type, may({ kind: 'hmac', key: 'k' }, type)]).toEqual([type, true]);
  for (const type of ['bigint', 'numeric(10,2)', 'date', '"char"', 'text[]', 'jsonb', 'uuid', 'bytea', 'character varying(20)[]']) expect([type, may({ kind: 'hmac', key: 'k' }, type)]).toEqual([type, false]);
  expect([may({ kind: 'partial', keep: 4 }), may({ kind: 'encrypt', key: 'k' }), may({ kind: 'date_year' })]).toEqual([true, false, false]);
});

test('rows in a format in which they can not be masked pass nothing', () => {
  const read = { format: 'copy-binary' as const, marksRejects: false, stream: Readable.from([]), rowsRead: () => 0 };
  const of = (masks: MaskPlan) => maskOf({ source: 's', stream: 't', columns: [1, 2, 3], masks }, read, keys);
  expect(of(plan(column(1, { kind: 'redact' })))).toBeInstanceOf(MaskBinaryRows);
  expect(() => of(plan(column(1, { kind: 'redact' }, 'bigint')))).toThrow(expect.objectContaining({ code: 'internal.unexpected' }));
});
