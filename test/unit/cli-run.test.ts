/** The rules of the command line that hold for every command. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { commandIn } from '../../cli/command-files.ts';
import { call, ROOT, scratch, start } from './cli-calls.ts';

const json = (text: string): unknown => {
  expect(text.trimEnd().split('\n')).toHaveLength(1);
  return JSON.parse(text);
};
const EXAMPLE = join(ROOT, 'examples', 'tidemark.yaml');
const VARIABLES = { DESTINATION_URL: 'postgresql://u@h/d', CORE_PASSWORD: 'pw' };

describe('usage', () => {
  test('--help lists the commands, by either way of asking', async () => {
    for (const args of [['--help'], ['-h'], ['validate', '-h']]) {
      const said = await call(args);
      expect(said).toMatchObject({ code: 0, stderr: '' });
      expect(said.stdout).toContain('Usage: tidemark');
      expect(said.stdout).toContain('--json');
    }
    for (const command of ['init', 'schema', 'validate', 'generate']) expect((await call(['--help'])).stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  });

  test('--version is that of the package', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(await call(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
    expect(json((await call(['--version', '--json'])).stdout)).toEqual({ ok: true, version });
  });

  test.each([
    ['an unknown command', ['valdate'], 'validate'], ['an unknown option', ['validate', '--jsno'], '--json'], ['an unknown global option', ['--confg', 'x', 'validate'], null],
    ['a missing value', ['validate', '-c'], null], ['a missing option', ['generate'], null], ['a wrong number', ['generate', '--count', '0'], null], ['too many arguments', ['validate', 'x'], null],
    ['an option given twice', ['sync', '--stream', 'a', '--stream', 'b'], '--stream is given twice'], ['one of a nested command', ['quarantine', 'list', 'a', 'b', '--limit', '1', '--limit=2'], '--limit is given twice'],
    ['no command', [], null],
  ])('%s: exit 2, a sentence and a hint', async (_name, args, suggestion) => {
    const plain = await call(args);
    expect([plain.code, plain.stdout]).toEqual([2, '']);
    expect(plain.stderr).not.toBe('');
    if (suggestion !== null) expect(plain.stderr).toContain(suggestion);
    const said = await call(['--json', ...args]);
    expect([said.code, said.stderr]).toEqual([2, '']);
    expect(json(said.stdout)).toEqual({ ok: false, error: { code: 'usage.invalid', message: expect.stringMatching(/^[A-Z].*\.$/), hint: expect.any(String) } });
  });

  test('global options stand before and after the command', async () => {
    const folder = scratch();
    for (const args of [['-c', 'no.yaml', '--json', 'validate'], ['validate', '--json', '-c', 'no.yaml'], ['--json', '--config=no.yaml', 'validate']]) {
      const said = await call(args.map((arg) => arg.replace('no.yaml', join(folder, 'no.yaml'))));
      expect(json(said.stdout)).toMatchObject({ ok: false, error: { code: 'config.file_missing', hint: expect.stringContaining('init') } });
    }
  });

  test.each([
    [['validate'], 'validate'], [['-c', 'sync', 'validate'], 'validate'], [['--config=x', '--json', 'init'], 'init'], [['--help'], null], [['-c'], null], [[], null],
  ])('the command of %j is %s', (args, command) => {
    expect(commandIn(args)).toBe(command);
  });
});

describe('validate', () => {
  test('TIDEMARK_CONFIG names the file, --config wins', async () => {
    expect((await call(['validate'], { ...VARIABLES, TIDEMARK_CONFIG: EXAMPLE })).stdout).toBe(`ok ${EXAMPLE}: 1 source, 2 streams\n`);
    expect((await call(['validate', '-c', '/no/such'], { ...VARIABLES, TIDEMARK_CONFIG: EXAMPLE })).code).toBe(2);
  });

  test('a wrong file: every problem with its line, exit 2', async () => {
    const file = join(scratch(), 'wrong.yaml');
    writeFileSync(file, 'sources:\n  - id: A\n    kidn: x\n');
    const plain = await call(['validate', '-c', file]);
    expect(plain).toMatchObject({ code: 2, stdout: '' });
    expect(plain.stderr).toContain(`${file}:3:5 sources[0].kidn: The key "kidn" is not known here.\n  Did you mean kind?\n`);
    const said = json((await call(['validate', '-c', file, '--json'])).stdout) as { error: { problems: unknown[]; path: string } };
    expect(said.error.path).toBe('sources[0].connection');
    expect(said.error.problems).toHaveLength(4);
  });

  test('--json of a right file', async () => {
    expect(json((await call(['validate', '-c', EXAMPLE, '--json'], VARIABLES)).stdout)).toEqual({ ok: true, file: EXAMPLE, sources: 1, streams: 2, warnings: [] });
  });
});

test('init writes the example, and never over a file', async () => {
  const file = join(scratch(), 'tidemark.yaml');
  expect((await call(['init', '-c', file])).code).toBe(0);
  expect(readFileSync(file, 'utf8')).toBe(readFileSync(EXAMPLE, 'utf8'));
  writeFileSync(file, 'mine');
  const said = await call(['init', '-c', file, '--json']);
  expect([said.code, json(said.stdout)]).toEqual([2, { ok: false, error: expect.objectContaining({ code: 'config.exists' }) }]);
  expect(readFileSync(file, 'utf8')).toBe('mine');
  expect(await call(['init', '-c', '/no/such/folder/x.yaml'])).toMatchObject({ code: 2 });
});

describe('generate', () => {
  test.each([[[] as string[], 'sources'], [['--endpoints'], 'endpoints']])('%j writes a file that validates, of every kind', async (options, list) => {
    const file = join(scratch(), 'fleet.yaml');
    const said = json((await call(['generate', '--count', '40', '--out', file, '--json', ...options])).stdout) as { sources: number; variables: string[] };
    expect(said.sources).toBe(40);
    const env = Object.fromEntries([...said.variables, 'DESTINATION_URL'].map((name) => [name, 'postgresql://h/x']));
    expect(await call(['validate', '-c', file], env)).toMatchObject({ code: 0, stdout: expect.stringContaining('40 sources') });
    expect((await call(['validate', '-c', file], {})).code).toBe(2);
    const sources = (parse(readFileSync(file, 'utf8')) as Record<string, { kind?: string; db_type?: string }[]>)[list] ?? [];
    expect(new Set(sources.map((source) => source.kind ?? source.db_type)).size).toBeGreaterThanOrEqual(2);
    expect((await call(['generate', '--count', '1', '--out', file])).code).toBe(2);
  });

  test('without --out the file goes to stdout, the same each time', async () => {
    const [first, second] = [await call(['generate', '--count', '3']), await call(['generate', '--count', '3'])];
    expect(first).toEqual(second);
    expect((parse(first.stdout) as { sources: unknown[] }).sources).toHaveLength(3);
  });

  test('--extend keeps what is there, comments too', async () => {
    const base = join(ROOT, 'examples', 'mcb', 'headquarters.yaml');
    const { stdout } = await call(['generate', '--count', '2', '--extend', base]);
    expect(stdout.startsWith(readFileSync(base, 'utf8'))).toBe(true);
    expect((await call(['generate', '--count', '1', '--extend', EXAMPLE])).code).toBe(0);
  });
});

test('schema is one JSON document with and without --json', async () => {
  const plain = JSON.parse((await call(['schema'])).stdout) as { else: { properties: { sources: unknown } } };
  expect(json((await call(['schema', '--json'])).stdout)).toEqual(plain);
  expect(plain.else.properties.sources).toBeDefined();
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s ends a command that has nothing to clean up with 130', async (signal) => {
  const fifo = join(scratch(), 'config');
  execFileSync('mkfifo', [fifo]);
  const ended = call(['validate', '-c', fifo]);
  const writer = await open(fifo, 'w');
  process.emit(signal);
  expect(await ended).toEqual({ code: 130, stdout: '', stderr: '' });
  await writer.close();
});

test('a command that is interrupted prints its one document with --json', async () => {
  const fifo = join(scratch(), 'config');
  execFileSync('mkfifo', [fifo]);
  const ended = call(['validate', '--json', '-c', fifo]);
  const writer = await open(fifo, 'w');
  process.emit('SIGINT');
  const { code, stdout } = await ended;
  expect([code, json(stdout)]).toEqual([130, { ok: false, error: expect.objectContaining({ code: 'batch.cancelled' }) }]);
  await writer.close();
});

describe('as a process', () => {
  test('a reader that closes early is no error', async () => {
    const { child, ended } = start(['generate', '--count', '2000']);
    child.stdout?.once('data', () => child.stdout?.destroy());
    expect(await ended).toMatchObject({ code: 0, stderr: '' });
  });

  test('a large document reaches a pipe whole', async () => {
    const said = await start(['generate', '--count', '2000', '--json']).ended;
    expect(json(said.stdout)).toMatchObject({ ok: true, sources: 2000 });
  });

  test('reading nothing but the arguments needs no file and writes none', async () => {
    const folder = scratch();
    expect((await start(['--help'], { HOME: folder }).ended).code).toBe(0);
    expect(existsSync(join(folder, '.tidemark'))).toBe(false);
  });
});
