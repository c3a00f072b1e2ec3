import { maskSecrets, registerSecret, registerUrlSecrets } from '../../runtime/secret-masking.ts';

const SECRET = 'p"a\\s+w/o%r é\nd-1234';

describe('masking by value', () => {
  beforeAll(() => registerSecret(SECRET));

  const base64At = (offset: number): string => Buffer.from(`${'x'.repeat(offset)}${SECRET}and more`).toString('base64');
  const spellings: [string, string][] = [
    ['raw', SECRET],
    ['JSON-escaped', JSON.stringify(SECRET)],
    ['JSON within JSON', JSON.stringify(JSON.stringify({ password: SECRET }))],
    ['URL-encoded', encodeURIComponent(SECRET)],
    ['hexadecimal', Buffer.from(SECRET).toString('hex')],
  ];

  test.each(spellings)('%s', (_name, spelling) => {
    const masked = maskSecrets(`before ${spelling} after`);
    expect(masked).toContain('[masked]');
    expect(masked).not.toContain('1234');
    expect(masked).toMatch(/^before .* after$/s);
  });

  test.each([0, 1, 2])('base64 with %i bytes before it', (offset) => {
    const masked = maskSecrets(base64At(offset));
    expect(masked).toContain('[masked]');
    expect(Buffer.from(masked.replace('[masked]', ''), 'base64').toString()).not.toContain('1234');
  });

  test('the password of a URL, as written and decoded', () => {
    registerUrlSecrets('postgresql://user:s%40fe%2Fword@localhost/x');
    expect(maskSecrets('s%40fe%2Fword or s@fe/word')).toBe('[masked] or [masked]');
  });

  test('other text stays as it is', () => {
    registerSecret('');
    registerSecret('ab');
    expect(maskSecrets('nothing of it: ab')).toBe('nothing of it: ab');
  });
});
