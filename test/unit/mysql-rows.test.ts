/** Rows of MySQL's text protocol as COPY text: every mixture of values that may stay where they are and values that are written by themselves. */
import { createRowEncoder, type RowField } from '../../connectors/mysql/copy-rows.ts';

const field = (name: string, encoding: RowField['encoding']): RowField => ({ name, encoding, bits: 8 });

type Value = string | Buffer | null;

function packetOf(values: readonly Value[]): Buffer {
  const parts = values.map((value) => {
    if (value === null) return Buffer.from([0xfb]);
    const bytes = Buffer.from(value);
    const length = bytes.length < 251 ? Buffer.from([bytes.length]) : bytes.length < 65_536 ? Buffer.from([0xfc, bytes.length & 0xff, bytes.length >> 8]) : Buffer.from([0xfd, bytes.length & 0xff, (bytes.length >> 8) & 0xff, bytes.length >> 16]);
    return Buffer.concat([length, bytes]);
  });
  return Buffer.concat([Buffer.from('head'), ...parts, Buffer.from('tail')]);
}

function encoded(fields: readonly RowField[], rows: readonly (readonly Value[])[], options: { marks?: boolean; zeroDates?: 'reject' | 'null' } = {}): string {
  const out: Buffer[] = [];
  const encoder = createRowEncoder({ fields, zeroDates: options.zeroDates ?? 'reject', marks: options.marks ?? false }, (chunk) => out.push(chunk));
  for (const row of rows) {
    const packet = packetOf(row);
    for (const _ of encoder.row(packet, 4, packet.length - 4) ?? []) void _;
  }
  encoder.flush();
  return Buffer.concat(out).toString('utf8');
}

const PAIRS: readonly (readonly [RowField, Value, string])[] = [
  [field('n', 'plain'), '-12.50', '-12.50'],
  [field('empty', 'plain'), '', ''],
  [field('t', 'text'), 'Zürich €', 'Zürich €'],
  [field('escaped', 'text'), 'a\tb\\c\nd\re', 'a\\tb\\\\c\\nd\\re'],
  [field('none', 'text'), null, '\\N'],
  [field('d', 'date'), '2024-02-29', '2024-02-29'],
  [field('dt', 'timestamp'), '0001-12-31 23:59:59.999999', '0001-12-31 23:59:59.999999'],
  [field('ts', 'timestamptz'), '2024-01-02 03:04:05.678901', '2024-01-02 03:04:05.678901+00'],
  [field('b', 'bytes'), Buffer.from([0, 255, 9]), '\\\\x00ff09'],
  [field('flag', 'boolean'), '1', 't'],
  [field('bits', 'bit'), Buffer.from([0b1010_0001]), '10100001'],
  [field('long', 'text'), 'x'.repeat(250), 'x'.repeat(250)],
  [field('longer', 'text'), 'é'.repeat(150), 'é'.repeat(150)],
  [field('longest', 'text'), 'y'.repeat(66_000), 'y'.repeat(66_000)],
];

test('each value before and after each other, and alone', () => {
  for (const [first, value, text] of PAIRS) expect(encoded([first], [[value]])).toBe(`${text}\n`);
  for (const [first, a, x] of PAIRS) {
    for (const [second, b, y] of PAIRS) {
      for (const [third, c, z] of [PAIRS[0]!, PAIRS[3]!, PAIRS[4]!, PAIRS[7]!]) {
        const row = [a, b, c];
        expect(encoded([first, second, third], [row, row])).toBe(`${x}\t${y}\t${z}\n`.repeat(2));
        expect(encoded([first, second, third], [row], { marks: true })).toBe(`${x}\t${y}\t${z}\t\\N\t\\N\n`);
      }
    }
  }
});

test('a refused row shows all its values as they came, and its neighbours pass', () => {
  const fields = [field('id', 'plain'), field('name', 'text'), field('none', 'plain'), field('born', 'date'), field('note', 'text')];
  const good = ['1', 'Amina', null, '1990-05-17', 'fine'];
  const bad = ['2', 'Juma', null, '1990-02-30', 'fine too'];
  const [before, refused, after, end] = encoded(fields, [good, bad, good], { marks: true }).split('\n');
  expect([before, after, end]).toEqual(['1\tAmina\t\\N\t1990-05-17\tfine\t\\N\t\\N', before, '']);
  const parts = (refused ?? '').split('\t');
  expect(parts.slice(0, 5)).toEqual(['\\N', '\\N', '\\N', '\\N', '\\N']);
  expect(JSON.parse(parts[5] ?? '')).toEqual([{ column: 'born', code: 'invalid_date' }]);
  expect(JSON.parse(parts[6] ?? '')).toEqual({ id: '2', name: 'Juma', none: null, born: '1990-02-30', note: 'fine too' });
  expect(() => encoded(fields, [good, bad])).toThrow(expect.objectContaining({ code: 'source.row_refused' }));
});

test.each([
  ['text', Buffer.from([0x61, 0x00])], ['text', Buffer.from([0x61, 0xc3])], ['date', '0000-00-00'], ['date', '2023-02-29'], ['date', '2024-00-10'], ['timestamp', '2024-04-31 00:00:00'], ['timestamp', '2024-13-01 00:00:00'], ['boolean', '2'],
] as const)('%s %p is refused in the middle of a row', (encoding, value) => {
  const fields = [field('a', 'text'), field('b', 'plain'), field('c', encoding), field('d', 'text')];
  expect(() => encoded(fields, [['a', '1', value, 'd']])).toThrow(expect.objectContaining({ code: 'source.row_refused' }));
});

test('a zero date is NULL where the stream says so', () => {
  expect(encoded([field('a', 'plain'), field('b', 'date'), field('c', 'plain')], [['1', '0000-00-00', '2']], { zeroDates: 'null' })).toBe('1\t\\N\t2\n');
});
