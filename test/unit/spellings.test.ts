import { leaks } from '../support/spellings.ts';

const SECRET = 'Pä"ss\\w%o+r/d-0123456789';

const HIDDEN: readonly (readonly [name: string, content: string])[] = [
  ['raw', `x${SECRET}y`],
  ['in JSON', JSON.stringify({ a: SECRET })],
  ['in JSON in JSON', JSON.stringify(JSON.stringify({ a: SECRET }))],
  ['in a URL', `postgresql://u:${encodeURIComponent(SECRET)}@h/d`],
  ...[0, 1, 2, 3].map((before) => [`in base64 after ${before} bytes`, Buffer.from(`${'z'.repeat(before)}${SECRET}zz`).toString('base64')] as const),
];

test.each(HIDDEN)('a text is found %s', (_name, content) => {
  expect(leaks(content, { secret: SECRET })).toEqual(['secret']);
});

test('what is not there is not found', () => {
  expect(leaks('Pass and other words', { secret: SECRET })).toEqual([]);
});
