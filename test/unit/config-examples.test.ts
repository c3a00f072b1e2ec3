/** The examples are right, and what is generated from the code is fresh. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { variablesIn } from '../../schemas/config-references.ts';
import { configJsonSchema } from '../../control/configuration/json-schema.ts';
import { load } from './config-loading.ts';

const EXAMPLES = join(import.meta.dirname, '..', '..', 'examples');
const KEY = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64');
const files = readdirSync(EXAMPLES, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.yaml') && !file.startsWith('demo'));

/** Each variable that the file names, with a value that fits. */
function variablesOf(text: string): Record<string, string> {
  const keys = Object.values((parse(text) as { keys?: Record<string, { env: string }> }).keys ?? {}).map((key) => [key.env, KEY]);
  const named = variablesIn(parse(text)).map((name) => [name, name === 'DESTINATION_URL' ? 'postgresql://u@h/d' : 'x']);
  return Object.fromEntries([...named, ...keys, ['DESTINATION_URL', 'postgresql://u@h/d']]) as Record<string, string>;
}

test.each(files)('%s is valid, holds no secret, and its first line points editors to the schema', async (file) => {
  const text = readFileSync(join(EXAMPLES, file), 'utf8');
  const { settings, warnings } = await load(text, { env: variablesOf(text) });
  expect(settings.sources.length).toBeGreaterThan(0);
  expect(warnings).toEqual([]);
  expect(text.split('\n')[0]).toBe(`# yaml-language-server: $schema=${'../'.repeat(file.split('/').length - 1) || './'}tidemark.schema.json`);
});

test('the bank of 90 endpoints needs the variables that its README names', async () => {
  const text = readFileSync(join(EXAMPLES, 'mcb', 'endpoints.yaml'), 'utf8');
  const { settings } = await load(text, { requireEnv: false });
  expect(settings.sources).toHaveLength(90);
  expect(settings.destinationUrl).toBe('${DESTINATION_URL}');
  const readme = readFileSync(join(EXAMPLES, 'mcb', 'README.md'), 'utf8');
  for (const name of [...variablesIn(parse(text)), 'DESTINATION_URL']) expect(readme).toContain(`\`${name}\``);
});

// Made anew with: npx tidemark schema > examples/tidemark.schema.json
test('examples/tidemark.schema.json is what `tidemark schema` prints', async () => {
  expect(JSON.parse(readFileSync(join(EXAMPLES, 'tidemark.schema.json'), 'utf8'))).toEqual(JSON.parse(JSON.stringify(await configJsonSchema())));
});
