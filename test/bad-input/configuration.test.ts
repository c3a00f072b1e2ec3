/** A file that is wrong: its own code, the place, what to write instead, exit 2. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tidemark } from '../support/tidemark.ts';
import { errorOf, expectClear, expectQuiet } from './clear-error.ts';

const SECRET = 'Sup3r"secret\\é%';

const FILE = `destination:
  url: \${DESTINATION_URL}
sources:
  - id: hq
    kind: postgres
    connection: { host: 127.0.0.1, port: 5432, database: bank, user: etl, password: "\${HQ_PASSWORD}" }
    streams:
      - account
`;

const env = { DESTINATION_URL: `postgresql://etl:${encodeURIComponent(SECRET)}@127.0.0.1:5432/target`, HQ_PASSWORD: SECRET };
const SECRETS = [SECRET, encodeURIComponent(SECRET), JSON.stringify(SECRET).slice(1, -1)];

/** name, the file, code, path (null: none is asked for), what message or hint must name */
const CASES: readonly (readonly [string, string, string, string | null, RegExp])[] = [
  ['malformed YAML', FILE.replace('- id: hq', '- id: [hq'), 'config.syntax', null, /line|\d/],
  ['a tab as indentation', FILE.replace('    kind', '\tkind'), 'config.syntax', null, /line|tab|\d/i],
  ['an unknown key', FILE.replace('streams:', 'streems:'), 'config.unknown_key', 'sources[0].streems', /streams/],
  ['an unknown key of a connection', FILE.replace('host:', 'hots:'), 'config.unknown_key', 'sources[0].connection.hots', /host/],
  ['a value of the wrong type', FILE.replace('port: 5432', 'port: many'), 'config.invalid', 'sources[0].connection.port', /number|integer|port/i],
  ['a bad duration', FILE.replace('sources:', 'defaults:\n  poll_interval: soon\nsources:'), 'config.invalid', 'defaults.poll_interval', /30s|15s|1h|5m/],
  ['a missing variable', FILE.replace('HQ_PASSWORD', 'HQ_PASSWORD_NOT_SET'), 'config.variable_missing', 'sources[0].connection.password', /HQ_PASSWORD_NOT_SET/],
  ['two sources with one id', FILE + FILE.slice(FILE.indexOf('  - id')), 'config.duplicate', null, /sources\[0\]\.id/],
];

describe.each(['validate', 'apply'] as const)('tidemark %s', (command) => {
  test.each(CASES)('%s', async (_name, file, code, path, names) => {
    const tidemark = new Tidemark(file, { ...env, TEMPORAL_ADDRESS: '127.0.0.1:1' });
    const result = await tidemark.run(command, '--json');
    const error = errorOf(result);
    expect({ exit: result.code, code: error.code }).toEqual({ exit: 2, code });
    if (path !== null) expect(error.path).toBe(path);
    expect(`${error.message} ${error.hint}`).toMatch(names);
    expectClear(error, SECRETS);
    expectQuiet(result, SECRETS);
  });
});

test('a file that is not there', async () => {
  const tidemark = new Tidemark(FILE, env);
  const result = await tidemark.run('validate', '--json', '--config', join(tidemark.folder, 'absent.yaml'));
  expect({ exit: result.code, code: errorOf(result).code }).toEqual({ exit: 2, code: 'config.file_missing' });
  expectClear(errorOf(result), SECRETS);
});

test('people read a sentence and a hint on standard error', async () => {
  const result = await new Tidemark(FILE.replace('streams:', 'streems:'), env).run('validate');
  expect(result.code).toBe(2);
  expect(result.stderr + result.stdout).toMatch(/sources\[0\]\.streems/);
  expect(result.stderr + result.stdout).toMatch(/tidemark\.yaml:\d+/);
  expectQuiet(result, SECRETS);
});

test('a file that is right passes', async () => {
  const tidemark = new Tidemark(FILE, env);
  writeFileSync(join(tidemark.folder, 'other.yaml'), FILE);
  const result = await tidemark.run('validate', '--json', '-c', join(tidemark.folder, 'other.yaml'));
  expect({ exit: result.code, ok: result.json?.ok }).toEqual({ exit: 0, ok: true });
});

test('an unknown command and an unknown option end with 2', async () => {
  const tidemark = new Tidemark(FILE, env);
  for (const args of [['snyc'], ['sync', '--al']]) {
    const result = await tidemark.run(...args, '--json');
    expect({ args, exit: result.code, code: errorOf(result).code }).toEqual({ args, exit: 2, code: 'usage.invalid' });
  }
});
