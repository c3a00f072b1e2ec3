import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { documentedTypes as oracle } from '../../connectors/oracle/documented-types.ts';
import { TYPE_TABLE } from '../../connectors/oracle/types.ts';
import { typePage } from '../../connectors/type-page.ts';

describe('docs/types.md', () => {
  test('says what the type tables do; npm run docs:types writes it anew', async () => {
    expect(readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'types.md'), 'utf8')).toBe(await typePage());
  });

  test('each row of a table that is data is on the page', () => {
    for (const { pattern, native } of TYPE_TABLE) expect(oracle.some((type) => pattern.test(type.native) || type.native === native)).toBe(true);
  });
});
