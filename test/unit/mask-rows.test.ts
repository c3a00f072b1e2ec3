/** Rows of COPY text through masks: what comes out, whatever the chunks; what is refused; what keys must be. */
import { createHmac } from 'node:crypto';
import { Readable } from 'node:stream';
import { parseMaskKey, type MaskKeys } from '../../pipeline/masks/mask-key.ts';
import { MaskRows } from '../../pipeline/masks/mask-rows.ts';
import type { MaskedColumn, MaskPlan } from '../../pipeline/masks/masked-columns.ts';
import { positionSeal } from '../../pipeline/masks/sealed-position.ts';
import { decryptValue } from '../../pipeline/masks/value-masks.ts';

const SECRET = Buffer.from(Array.from({ length: 32 }, (_, n) => n * 7));
const OTHER = Buffer.from(Array.from({ length: 32 }, (_, n) => n * 5 + 1));
const key = parseMaskKey('k', SECRET.toString('base64'));
const keys: MaskKeys = new Map([['k', key]]);

const column = (index: number, mask: MaskedColumn['mask'], type = 'text'): MaskedColumn => ({ index, name: `C${index}`, targetName: `c${index}`, mask, type });
const plan = (...columns: MaskedColumn[]): MaskPlan => ({ columns, dropped: [], keyAt: [0], positionKey: null });

async function masked(text: string, masks: MaskPlan, options: { columns?: number; marksRejects?: boolean; chunk?: number } = {}): Promise<string> {
  const bytes = Buffer.from(text);
  const size = options.chunk ?? bytes.length;
  const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) => bytes.subarray(n * size, (n + 1) * size));
  const rows = new MaskRows({ source: 's', stream: 't', masks, columns: options.columns ?? 3, marksRejects: options.marksRejects ?? false }, keys);
  const out: Buffer[] = [];
  for await (const part of Readable.from(chunks).pipe(rows)) out.push(Buffer.from(part as Buffer));
  return Buffer.concat(out).toString();
}

const hmac = (value: string) => `h1.${key.id}.${createHmac('sha256', SECRET).update(value).digest('hex')}`;

test('what comes out does not depend on the chunks, and other columns pass as they are', async () => {
  const masks = plan(column(1, { kind: 'hmac', key: 'k' }), column(2, { kind: 'partial', keep: 4 }));
  const text = '1\tAmina\\tJuma\t0012345678\n2\t\\N\t\\N\n3\t\t€uro-Zürich\\\\é\n';
  const expected = `1\t${hmac('Amina\tJuma')}\t****5678\n2\t\\N\t\\N\n3\t${hmac('')}\t****ch\\\\é\n`;
  for (let chunk = 1; chunk <= Buffer.byteLength(text); chunk += 1) expect(await masked(text, masks, { chunk })).toBe(expected);
});

test('equal values of different types join; different texts stay different', async () => {
  const of = async (value: string, type: string) => (await masked(`1\t${value}\tx\n`, plan(column(1, { kind: 'hmac', key: 'k' }, type)))).split('\t')[1];
  const same = await Promise.all([of('42', 'integer'), of('42.0', 'numeric(10,1)'), of('42.00', 'numeric'), of('42', 'text'), of('42  ', 'character(4)')]);
  expect(new Set(same)).toEqual(new Set([hmac('42')]));
  expect(await of('-0.00', 'numeric')).toBe(hmac('0'));
  expect(await of('100', 'numeric')).toBe(hmac('100'));
  expect(await of('42.0', 'text')).toBe(hmac('42.0'));
  expect(await of('42 ', 'text')).toBe(hmac('42 '));
  expect(await of('2024-01-01 10:00:00.120000+00:00', 'timestamp(6) with time zone')).toBe(hmac('2024-01-01 10:00:00.12+00'));
  expect(await of('2024-01-01 10:00:00', 'timestamp without time zone')).toBe(hmac('2024-01-01 10:00:00'));
});

test('encrypt: an unchanged row stays unchanged, equal values of two rows differ, and only its own column can read it', async () => {
  const masks = plan(column(1, { kind: 'encrypt', key: 'k' }));
  const text = '1\tsecret\\nvalue\tx\n2\tsecret\\nvalue\tx\n';
  const [once, twice] = [await masked(text, masks), await masked(text, masks)];
  expect(once).toBe(twice);
  const [first, second] = once.split('\n').map((row) => row.split('\t')[1]!);
  expect(first).not.toBe(second);
  expect(first).toMatch(new RegExp(`^e1\\.${key.id}\\.[\\w-]+$`));
  const place = { source: 's', stream: 't', column: 'c1' };
  expect(decryptValue(first!, place, key).toString()).toBe('secret\nvalue');
  expect(() => decryptValue(first!, { ...place, column: 'c2' }, key)).toThrow(expect.objectContaining({ code: 'mask.unreadable' }));
  expect(() => decryptValue(first!, place, parseMaskKey('k', OTHER.toString('base64')))).toThrow(expect.objectContaining({ code: 'mask.unreadable' }));
  const flipped = `${first!.slice(0, -3)}${first!.at(-3) === 'A' ? 'B' : 'A'}${first!.slice(-2)}`;
  expect(() => decryptValue(flipped, place, key)).toThrow(expect.objectContaining({ code: 'mask.unreadable' }));
});

test('redact, partial and date_year leave no more than they say', async () => {
  const masks = plan(column(0, { kind: 'redact' }), column(1, { kind: 'partial', keep: 4 }), column(2, { kind: 'date_year' }, 'date'));
  expect(await masked('a\t1234\t1990-05-17\n\t123456\t0044-03-15 BC\n\\N\t\t12024-02-29 10:00:00+00\nb\tx\tinfinity\nb\tx\tnonsense\n', masks)).toBe(
    '[redacted]\t****\t1990-01-01\n[redacted]\t****3456\t0044-01-01 BC\n\\N\t****\t12024-01-01\n[redacted]\t****\tinfinity\n[redacted]\t****\t\\N\n',
  );
});

test('the values of a row that the connector refused are masked too, by either name', async () => {
  const masks = plan(column(1, { kind: 'hmac', key: 'k' }), column(2, { kind: 'redact' }));
  const values = JSON.stringify({ C0: '7', C1: 'Amina', c2: 'clear\\text', other: 'stays' }).replaceAll('\\', '\\\\');
  const out = await masked(`1\tx\ty\t\\N\t\\N\n\\N\t\\N\t\\N\t[{"column":"C2","code":"nul"}]\t${values}\n2\tx\ty\t\\N\t\\N\n`, masks, { marksRejects: true });
  const rows = out.split('\n').map((row) => row.split('\t'));
  expect(JSON.parse(rows[1]![4]!)).toEqual({ C0: '7', C1: hmac('Amina'), c2: '[redacted]', other: 'stays' });
  expect(rows[2]).toEqual(['2', hmac('x'), '[redacted]', '\\N', '\\N']);
  expect(await masked('\\N\t\\N\t\\N\t[]\tAmina, not JSON\n', masks, { marksRejects: true })).not.toContain('Amina');
});

test('a row of another number of fields, or cut off, passes nothing', async () => {
  const masks = plan(column(1, { kind: 'redact' }));
  await expect(masked('1\tclear\n', masks)).rejects.toMatchObject({ code: 'source.protocol' });
  await expect(masked('1\t2\t3\t4\n', masks)).rejects.toMatchObject({ code: 'source.protocol' });
  await expect(masked('1\t2\t3', masks)).rejects.toMatchObject({ code: 'source.read_interrupted' });
});

test('many rows: as many come out, none changed beside the masked fields', async () => {
  const masks = plan(column(1, { kind: 'redact' }));
  const rows = Array.from({ length: 20_000 }, (_, n) => `${n}\tsecret ${n}\t${'x'.repeat(n % 90)}\n`).join('');
  expect(await masked(rows, masks, { chunk: 65_537 })).toBe(rows.replaceAll(/secret \d+/g, '[redacted]'));
});

test.each([undefined, '', 'c2hvcnQ=', Buffer.alloc(32, 7).toString('base64'), `${SECRET.toString('base64')}x`])('a bad key is refused by its name: %p', (text) => {
  expect(() => parseMaskKey('national-id', text)).toThrow(expect.objectContaining({ code: 'config.key_missing', message: expect.stringContaining('national-id') }));
});

test('positions and parts of a stream with a masked key are stored sealed', () => {
  const masks: MaskPlan = { ...plan(column(0, { kind: 'hmac', key: 'k' })), positionKey: 'k' };
  const seal = positionSeal(masks, { source: 's', stream: 't' }, keys);
  const position = { server: 'x', table: 'y', display: '2024-01-01', state: { at: ['2024-01-01', 'NIDA-123'] } };
  const part = { from: null, to: ['NIDA-500'], rowEstimate: 5 };
  expect(JSON.stringify([seal.sealPosition(position), seal.sealPart(part)])).not.toContain('NIDA');
  expect(seal.openPosition(seal.sealPosition(position))).toEqual(position);
  expect(seal.openPart(seal.sealPart(part))).toEqual(part);
  const other = positionSeal(masks, { source: 's', stream: 'other' }, keys);
  expect(() => other.openPosition(seal.sealPosition(position))).toThrow(expect.objectContaining({ code: 'mask.unreadable' }));
});
