/** Files that attack: bombs, floods, keys with powers, and files whose mistakes could print a secret. */
import { createWriteStream, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { loadRegistry } from '../../connectors/registry.ts';
import { FILE_BYTES_MAX } from '../../control/configuration/document.ts';
import { loadSettings } from '../../control/configuration/load.ts';
import { load, oneSource, problemsOf } from './config-loading.ts';

const CANARY = 'c4n4ry"\\%+/é\u202e';
const quoted = JSON.stringify(CANARY);

describe('too much', () => {
  test('aliases that multiply', async () => {
    const levels = Array.from({ length: 9 }, (_, level) => `a${level + 1}: &a${level + 1} [${Array(9).fill(`*a${level}`).join(', ')}]`);
    const problems = await problemsOf(`a0: &a0 [x, x, x]\n${levels.join('\n')}`);
    expect(problems).toEqual([expect.objectContaining({ code: 'config.too_large' })]);
  });

  test('an alias of a large list, many times', async () => {
    const problems = await problemsOf(`x: &x [${Array(2000).fill('y').join(',')}]\nsources:\n${'  - *x\n'.repeat(9000)}`);
    expect(problems).toEqual([expect.objectContaining({ code: 'config.too_large' })]);
  });

  test('an alias of itself', async () => {
    const problems = await problemsOf('sources: &x [*x]');
    expect(problems[0]?.code).toMatch(/^config\.(too_large|syntax)$/);
  });

  test.each([['open', '['.repeat(100_000)], ['closed', `${'['.repeat(3000)}${']'.repeat(3000)}`], ['keys', '{a: '.repeat(50_000)]])('nesting: %s', async (_name, text) => {
    const problems = await problemsOf(`sources: ${text}`);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.code).toBe('config.syntax');
  });

  test('a file of 100 MB is not read to its end', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'tidemark-large-')), 'tidemark.yaml');
    const writer = createWriteStream(file);
    writer.write('x');
    writer.end();
    await once(writer, 'close');
    const { truncateSync } = await import('node:fs');
    truncateSync(file, 100 * 1024 * 1024);
    expect(100 * 1024 * 1024).toBeGreaterThan(FILE_BYTES_MAX);
    await expect(loadSettings(file, { env: {}, requireEnv: true })).rejects.toMatchObject({ code: 'config.too_large' });
  });
});

describe('keys with powers', () => {
  test.each([
    ['at the top', `__proto__: { defaults: 1 }\n${oneSource()}`], ['in a connection', oneSource().replace('{ host: h', '{ __proto__: { x: 1 }, host: h')],
    ['in masks', oneSource('mask: { __proto__: redact }')], ['quoted', oneSource('types: { "__proto__": x }')],
  ])('__proto__ %s', async (_name, text) => {
    const problems = await problemsOf(text);
    expect(problems[0]).toMatchObject({ code: 'config.invalid', path: '__proto__' });
    expect(({} as Record<string, unknown>).defaults).toBeUndefined();
  });

  test('constructor is a column like any other', async () => {
    const { settings } = await load(oneSource('mask: { constructor: redact, toString: drop }'));
    expect(settings.sources[0]?.streams[0]?.masks).toEqual({ constructor: { kind: 'redact' }, toString: { kind: 'drop' } });
  });

  test('a variable is no property of Object', async () => {
    expect(await problemsOf(oneSource('name: ${constructor}'))).toEqual([expect.objectContaining({ code: 'config.variable_missing' })]);
  });
});

describe('no secret is shown', () => {
  /** What is said about a file, in every form. */
  async function said(text: string, env: Record<string, string> = {}): Promise<string> {
    const problems = await problemsOf(text, { env });
    const warnings = problems.length > 0 ? [] : (await load(text, { env })).warnings;
    return JSON.stringify({ problems, warnings });
  }

  const source = (connection: string): string => `destination: { url: "postgresql://u@h/d" }\nsources: [{ id: a, kind: KIND, connection: ${connection}, streams: [A] }]`;

  test('of any connector, in any field, of any wrong type', async () => {
    const { manifests } = await loadRegistry();
    for (const manifest of manifests) {
      const fields = ['host', 'port', 'database', 'user', 'password', 'tls', 'service_name', 'sid', 'schema', 'nosuch', ...manifest.secretFields.map((field) => field.split('.')[0] ?? field)];
      for (const field of fields) {
        for (const value of [quoted, `[${quoted}]`, `{ x: ${quoted} }`, `{ mode: ${quoted}, ca: ${quoted}, wallet_password: ${quoted} }`]) {
          expect(await said(source(`{ ${field}: ${value} }`).replace('KIND', manifest.kind))).not.toContain('c4n4ry');
        }
        expect(await said(source(`{ ${field}: "\${V}" }`).replace('KIND', manifest.kind), { V: CANARY })).not.toContain('c4n4ry');
      }
      expect(await said(source(quoted).replace('KIND', manifest.kind))).not.toContain('c4n4ry');
    }
  });

  test.each([
    'name', 'priority', 'poll_interval', 'schedule', 'time_zone', 'read_window', 'mode', 'batch_size', 'overlap', 'drift', 'delete_cap', 'breaker', 'sessions_max', 'freshness',
    'retention', 'rules', 'mask', 'transform', 'deletes', 'columns', 'types', 'enabled', 'fallback', 'connection', 'streams', 'id', 'keep_generations',
  ])('written at %s by mistake', async (key) => {
    const text = (value: string): string => `destination: { url: ${quoted} }\nkeys: { a: ${quoted} }\nsources: [{ ${key}: ${value} }]`;
    for (const value of [quoted, `[${quoted}]`, `{ a: ${quoted} }`, `{ check: ${quoted}, detect: ${quoted}, column: ${quoted}, keep: ${quoted} }`]) {
      expect(await said(text(value))).not.toContain('c4n4ry');
    }
  });

  test('as a key, where the space after the colon is missing', async () => {
    const problems = await problemsOf(source('{ host: h, password:c4n4ry }').replace('KIND', 'mysql'));
    expect(JSON.stringify(problems)).not.toContain('c4n4ry');
    expect(problems.find((problem) => problem.path.endsWith('password') && problem.code === 'config.unknown_key')?.hint).toContain('space');
  });

  test.each([
    'password: "c4n4ry\n', 'password: c4n4ry: x\n', 'a: 1\n  password: c4n4ry\n', 'password: !c4n4ry x\n', 'password: *c4n4ry\n', 'password: @c4n4ry\n', '- c4n4ry\nb: c4n4ry\n',
    '"c4n4ry" x: 1\n', 'password: "\\qc4n4ry"\n', '? [c4n4ry]\n: c4n4ry\n', 'c4n4ry', '%c4n4ry\n---\na: 1\n',
  ])('in a file that is not YAML: %j', async (text) => {
    const problems = await problemsOf(text);
    expect(problems.length).toBeGreaterThan(0);
    expect(JSON.stringify(problems)).not.toContain('c4n4ry');
  });

  test('a literal one is warned of, without it', async () => {
    const text = oneSource('fallback: { host: h, database: d, user: u, password: c4n4ry }').replace('postgresql://u@h', 'postgresql://u:c4n4ry@h');
    const { warnings, settings } = await load(text);
    expect(warnings.map(({ path, line }) => `${line} ${path}`)).toEqual(['1 destination.url', '5 sources[0].connection.password', '7 sources[0].fallback.password']);
    expect(JSON.stringify(warnings)).not.toContain('c4n4ry');
    expect(settings.destinationUrl).toContain('c4n4ry');
  });

  test('a reference is not warned of, its default is', async () => {
    const text = oneSource('fallback: { host: h, database: d, user: u, password: "${PW:-c4n4ry}" }').replace('${PW:-}x', '${PW}');
    const { warnings } = await load(text, { env: { PW: 'x' } });
    expect(warnings.map((warning) => warning.path)).toEqual(['sources[0].fallback.password']);
  });

  test('settings never hold the value of a variable in a connection', async () => {
    const text = readFileSync(join(import.meta.dirname, '..', '..', 'examples', 'tidemark.yaml'), 'utf8');
    const { settings } = await load(text, { env: { DESTINATION_URL: 'postgresql://u:c4n4ry@h/d', CORE_PASSWORD: 'c4n4ry', CORE_HOST: 'c4n4ry' } });
    expect(JSON.stringify(settings)).not.toContain('c4n4ry');
  });
});
