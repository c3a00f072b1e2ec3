import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheDirectory, parseEnvironment } from '../../runtime/environment.ts';
import { needsEmbeddedDestination } from '../../runtime/destination-choice.ts';
import { connectionOptions } from '../../runtime/temporal-client.ts';

describe('the environment', () => {
  test('has defaults, and empty variables count as not set', () => {
    const env = parseEnvironment({ TEMPORAL_ADDRESS: '', TIDEMARK_LOG_LEVEL: '' });
    expect(env).toMatchObject({ TIDEMARK_CONFIG: 'tidemark.yaml', TIDEMARK_DATA_DIR: '.tidemark', TIDEMARK_LOG_LEVEL: 'info', TEMPORAL_TLS: false });
    expect(env.TEMPORAL_ADDRESS).toBeUndefined();
  });

  test('a wrong value is named by its variable and not repeated', () => {
    const parse = (): unknown => parseEnvironment({ TIDEMARK_LOG_LEVEL: 'hunter2' });
    expect(parse).toThrow(expect.objectContaining({ code: 'config.invalid', path: 'TIDEMARK_LOG_LEVEL' }));
    expect(parse).not.toThrow(/hunter2/);
  });

  test('the cache is where it is told to be, and outside of the checkout otherwise', () => {
    expect(cacheDirectory({ TIDEMARK_CACHE_DIR: '/somewhere', HOME: '/home/a' })).toBe('/somewhere');
    expect(cacheDirectory({ XDG_CACHE_HOME: '/x', HOME: '/home/a' })).toBe('/x/tidemark');
    expect(cacheDirectory({ HOME: '/home/a' })).toBe('/home/a/.cache/tidemark');
  });
});

describe('the connection to Temporal', () => {
  test('an API key switches TLS on', () => {
    expect(connectionOptions('h:1', parseEnvironment({ TEMPORAL_API_KEY: 'k' }))).toEqual({ address: 'h:1', tls: true, apiKey: 'k' });
    expect(connectionOptions('h:1', parseEnvironment({}))).toEqual({ address: 'h:1' });
  });

  test('a certificate without its key is refused', () => {
    expect(() => connectionOptions('h:1', parseEnvironment({ TEMPORAL_TLS_CLIENT_CERT_DATA: 'c' }))).toThrow(expect.objectContaining({ code: 'config.invalid', path: 'TEMPORAL_TLS_CLIENT_KEY_PATH' }));
  });
});

describe('whether up brings a destination', () => {
  const file = (text: string): string => {
    const path = join(mkdtempSync(join(tmpdir(), 'tidemark-destination-')), 'tidemark.yaml');
    writeFileSync(path, text);
    return path;
  };
  const before = process.env.DESTINATION_URL;
  beforeEach(() => void delete process.env.DESTINATION_URL);
  afterAll(() => {
    if (before !== undefined) process.env.DESTINATION_URL = before;
  });

  test.each([
    ['no file', '/nowhere/tidemark.yaml', true],
    ['a file without one', file('sources: []'), true],
    ['a file that refers to DESTINATION_URL', file('destination: { url: "${DESTINATION_URL}" }'), true],
    ['a file that names one', file('destination: { url: "postgresql://u@h/d" }'), false],
    ['a file that refers to another variable', file('destination: { url: "${WAREHOUSE_URL}" }'), false],
  ])('%s', (_name, path, expected) => {
    expect(needsEmbeddedDestination(path)).toBe(expected);
  });

  test('DESTINATION_URL is set', () => {
    process.env.DESTINATION_URL = 'postgresql://u@h/d';
    expect(needsEmbeddedDestination('/nowhere/tidemark.yaml')).toBe(false);
  });
});
