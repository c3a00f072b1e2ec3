/** Ranges of cursor values: what is accepted, how it is cut, and what the ledger proves. */
import fc from 'fast-check';
import { cutRange, parseRange, provenSlices } from '../../pipeline/backfill-range.ts';

const NUMBER = { name: 'id', order: 'number', pgType: 'bigint', nativeType: 'bigint' } as const;
const ZONED = { name: 'at', order: 'time', pgType: 'timestamp with time zone', nativeType: 'timestamptz' } as const;
const LOCAL = { name: 'at', order: 'time', pgType: 'timestamp(6) without time zone', nativeType: 'datetime(6)' } as const;
const DATE = { name: 'day', order: 'time', pgType: 'date', nativeType: 'date' } as const;

describe('a range', () => {
  test.each([
    [NUMBER, '1', '9007199254740993', { from: '1', to: '9007199254740993' }],
    [NUMBER, '-0.5', '10', { from: '-0.5', to: '10.0' }],
    [ZONED, '2024-01-01', '2024-02-01T00:00:00.000001Z', { from: '2024-01-01 00:00:00', to: '2024-02-01 00:00:00.000001' }],
    [ZONED, '2024-01-01T03:00:00+03:00', '2024-01-02', { from: '2024-01-01 00:00:00', to: '2024-01-02 00:00:00' }],
    [LOCAL, '1969-12-31 23:59:59.5', '1970-01-01', { from: '1969-12-31 23:59:59.5', to: '1970-01-01 00:00:00' }],
    [DATE, '2024-02-28', '2024-03-01', { from: '2024-02-28', to: '2024-03-01' }],
  ])('%j from %s to %s', (cursor, from, to, read) => expect(parseRange(cursor, { from, to })).toEqual(read));

  test.each([
    [NUMBER, '1', '1'], [NUMBER, '2', '1'], [NUMBER, 'a', '2'], [NUMBER, '1e3', '2'], [NUMBER, '', '2'],
    [ZONED, 'yesterday', '2024-01-01'], [ZONED, '2024-02-30', '2024-03-01'], [ZONED, '2024-01-01', '2023-01-01'], [ZONED, '1', '2'],
    [LOCAL, '2024-01-01T00:00:00Z', '2024-02-01'], [DATE, '2024-01-01T12:00:00', '2024-02-01'],
  ])('%j from %s to %s is refused', (cursor, from, to) => {
    expect(() => parseRange(cursor, { from, to })).toThrow(expect.objectContaining({ code: 'usage.invalid' }));
  });

  test('a cursor of text has no ranges', () => {
    expect(() => parseRange({ ...NUMBER, order: 'text' }, { from: 'a', to: 'b' })).toThrow(expect.objectContaining({ code: 'source.cursor_unusable' }));
  });
});

describe('slices', () => {
  test('of hours, the last one shorter', () => {
    expect(cutRange(ZONED, { from: '2024-01-01', to: '2024-01-01T02:30:00' }, '1h')).toEqual([
      { from: '2024-01-01 00:00:00', to: '2024-01-01 01:00:00' },
      { from: '2024-01-01 01:00:00', to: '2024-01-01 02:00:00' },
      { from: '2024-01-01 02:00:00', to: '2024-01-01 02:30:00' },
    ]);
  });

  test('of decimals', () => {
    expect(cutRange(NUMBER, { from: '0', to: '1' }, '0.5')).toEqual([{ from: '0.0', to: '0.5' }, { from: '0.5', to: '1.0' }]);
  });

  test.each([[NUMBER, '0'], [NUMBER, '-1'], [NUMBER, '1d'], [ZONED, '0s'], [ZONED, 'soon'], [DATE, '1h']])('%j by %s are refused', (cursor, slice) => {
    const range = cursor === NUMBER ? { from: '1', to: '9' } : { from: '2024-01-01', to: '2024-02-01' };
    expect(() => cutRange(cursor, range, slice)).toThrow(expect.objectContaining({ code: 'usage.invalid' }));
  });

  test('too many are refused', () => {
    expect(() => cutRange(NUMBER, { from: '0', to: '10000000' }, '1')).toThrow(expect.objectContaining({ code: 'usage.invalid' }));
  });

  test('cover the range without a gap or an overlap, whatever its bounds', () => {
    fc.assert(
      fc.property(fc.bigInt(-(10n ** 30n), 10n ** 30n), fc.bigInt(1n, 10n ** 6n), fc.bigInt(1n, 10n ** 6n), (from, length, step) => {
        fc.pre(length / step < 1_000n);
        const slices = cutRange(NUMBER, { from: `${from}`, to: `${from + length}` }, `${step}`);
        expect(slices[0]!.from).toBe(`${from}`);
        expect(slices.at(-1)!.to).toBe(`${from + length}`);
        slices.slice(1).forEach((slice, n) => expect(slice.from).toBe(slices[n]!.to));
        slices.forEach((slice) => expect(BigInt(slice.from) < BigInt(slice.to)).toBe(true));
      }),
    );
  });
});

describe('proof', () => {
  const slices = cutRange(NUMBER, { from: '0', to: '50' }, '10');

  test('a build proves what lies below its position, batches that meet prove their union', () => {
    expect(provenSlices(NUMBER, slices, '15', [{ from: '15', to: '20' }, { from: '30', to: '35' }, { from: '36', to: '40' }])).toEqual([true, true, false, false, false]);
  });

  test('without a build only the batches do', () => {
    expect(provenSlices(NUMBER, slices, null, [{ from: '8', to: '22' }, { from: '20', to: '31' }])).toEqual([false, true, true, false, false]);
  });

  test('a position in other terms than the cursor proves nothing', () => {
    const days = cutRange(LOCAL, { from: '2024-01-01', to: '2024-01-03' }, '1d');
    expect(provenSlices(LOCAL, days, '2024-02-01T00:00:00Z', [])).toEqual([false, false]);
    expect(provenSlices(LOCAL, days, '2024-01-02T00:00:00', [])).toEqual([true, false]);
    expect(provenSlices(ZONED, days, '2024-01-02T00:00:00Z', [])).toEqual([true, false]);
  });
});
