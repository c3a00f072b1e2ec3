/** What is said of a wrong file: code, path, line, and what to write instead. */
import { writeFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings } from '../../control/configuration/load.ts';
import { load, oneSource, problemsOf } from './config-loading.ts';

interface Expected {
  readonly code?: string;
  readonly path: string;
  readonly hint?: string;
}

const CASES: readonly (readonly [name: string, text: string, expected: readonly Expected[]])[] = [
  ['an unknown key at the top', `${oneSource()}\ndefalts: {}`, [{ code: 'config.unknown_key', path: 'defalts', hint: 'defaults' }]],
  ['an unknown key in defaults', `defaults: { pol_interval: 3s }\n${oneSource()}`, [{ code: 'config.unknown_key', path: 'defaults.pol_interval', hint: 'poll_interval' }]],
  ['an unknown key in a source', oneSource('prioritty: high'), [{ code: 'config.unknown_key', path: 'sources[0].prioritty', hint: 'priority' }]],
  ['an unknown key in a stream', oneSource('', '[B, { table: A, crusor: x }]'), [{ code: 'config.unknown_key', path: 'sources[0].streams[1].crusor', hint: 'cursor' }]],
  ['an unknown key in a connection', oneSource().replace('host:', 'hots:'), [
    { code: 'config.unknown_key', path: 'sources[0].connection.hots', hint: 'host' }]],
  ['an unknown key beside a missing one', oneSource().replace('host: h', 'whatever: h'), [
    { path: 'sources[0].connection.host', hint: 'Add host' }, { code: 'config.unknown_key', path: 'sources[0].connection.whatever', hint: 'Known keys' }]],
  ['a word of the other spelling', oneSource().replace('kind:', 'db_type:'), [{ code: 'config.unknown_key', path: 'sources[0].db_type', hint: 'kind' }]],
  ['a key of a source in a stream', oneSource('', '[{ table: A, fallback: {} }]'), [{ code: 'config.unknown_key', path: 'sources[0].streams[0].fallback', hint: 'belongs to the source' }]],
  ['an unknown kind', oneSource().replace('mysql', 'mysqll'), [{ code: 'config.unknown_kind', path: 'sources[0].kind', hint: 'mysql' }]],
  ['a duplicate id', `${oneSource()}\n  - { id: a, kind: mysql, connection: { host: h, database: d, user: u, password: "\${PW:-}" }, streams: [B] }`, [{ code: 'config.duplicate', path: 'sources[1].id' }]],
  ['a duplicate table', oneSource('', '[A, { table: A }]'), [{ code: 'config.duplicate', path: 'sources[0].streams[1]' }]],
  ['a duplicate target', oneSource('', '[x.A, y.A]'), [{ code: 'config.duplicate', path: 'sources[0].streams[1]', hint: 'another target' }]],
  ['a duplicate named target', oneSource('', '[{ table: A, target: b.t }, { table: B, target: b.t }]'), [{ code: 'config.duplicate', path: 'sources[0].streams[1].target' }]],
  ['a mask with an unknown key', oneSource('mask: { c: { hmac: nid } }'), [{ code: 'config.key_missing', path: 'sources[0].mask.c.hmac', hint: 'keys:' }]],
  ['an unknown mask', oneSource('mask: { c: hide }'), [{ path: 'sources[0].mask.c', hint: 'redact' }]],
  ['a mask that makes keys equal', oneSource('', '[{ table: A, key: [id], mask: { id: redact } }]'), [{ path: 'sources[0].streams[0].mask.id', hint: 'hmac' }]],
  ['append without key', oneSource('mode: append', '[{ table: A, key: [] }]'), [{ path: 'sources[0].streams[0].key', hint: 'replace' }]],
  ['append with deletes', oneSource('mode: append', '[{ table: A, key: [id], deletes: { detect: scan } }]'), [{ code: 'config.unsupported', path: 'sources[0].streams[0].deletes', hint: 'mode: upsert' }]],
  ['append with inherited deletes', oneSource('deletes: { detect: scan }', '[{ table: A, key: [id], mode: append }]'), [{ code: 'config.unsupported', path: 'sources[0].streams[0]', hint: 'deletes: null' }]],
  ['retention without a column', oneSource('', '[{ table: A, retention: 7 years }]'), [{ path: 'sources[0].streams[0].retention', hint: 'column: CREATED_AT' }]],
  ['a cursor that is excluded', oneSource('columns: { exclude: [u] }', '[{ table: A, cursor: u }]'), [{ path: 'sources[0].streams[0]', hint: 'columns.exclude' }]],
  ['two schedules at one level', oneSource('schedule: "0 2 * * *"\npoll_interval: 5s'), [{ path: 'sources[0].schedule', hint: 'one of them' }]],
  ['a cron expression', oneSource('schedule: "0 25 * * *"'), [{ path: 'sources[0].schedule', hint: 'five fields' }]],
  ['a day that never comes', oneSource('schedule: "0 0 31 2 *"'), [{ path: 'sources[0].schedule' }]],
  ['six fields', oneSource('schedule: "* * * * * *"'), [{ path: 'sources[0].schedule' }]],
  ['a time zone', oneSource('time_zone: Africa/Dar'), [{ path: 'sources[0].time_zone', hint: 'IANA' }]],
  ['an offset', oneSource('time_zone: "+03:00"'), [{ path: 'sources[0].time_zone', hint: 'IANA' }]],
  ['a duration', oneSource('overlap: soon'), [{ path: 'sources[0].overlap', hint: '30s' }]],
  ['an interval of zero', oneSource('poll_interval: 0'), [{ path: 'sources[0].poll_interval' }]],
  ['a negative interval', oneSource('poll_interval: -5'), [{ path: 'sources[0].poll_interval', hint: 'at least 0' }]],
  ['a share above one', oneSource('delete_cap: 10'), [{ path: 'sources[0].delete_cap' }]],
  ['a share above 100 %', oneSource('delete_cap: 110 %'), [{ path: 'sources[0].delete_cap', hint: '10 %' }]],
  ['a word', oneSource('drift: freez'), [{ path: 'sources[0].drift', hint: 'freeze' }]],
  ['a window', oneSource('read_window: 22-5'), [{ path: 'sources[0].read_window', hint: '22:00-05:30' }]],
  ['an id', oneSource().replace('id: a', 'id: "A b"'), [{ path: 'sources[0].id', hint: 'lower-case' }]],
  ['a long id', oneSource().replace('id: a', `id: ${'a'.repeat(64)}`), [{ path: 'sources[0].id' }]],
  ['a reserved target', oneSource('', '[{ table: A, target: tidemark.ledger }]'), [{ path: 'sources[0].streams[0].target', hint: 'reserved' }]],
  ['yes for true', oneSource('enabled: yes'), [{ path: 'sources[0].enabled', hint: 'true or false' }]],
  ['a number for a text', oneSource().replace('user: u', 'user: 12'), [{ path: 'sources[0].connection.user', hint: 'quotes' }]],
  ['a text for a number', oneSource().replace('host: h', 'host: h, port: x'), [{ path: 'sources[0].connection.port', hint: 'number' }]],
  ['an empty value', oneSource().replace('streams: [A]', 'streams:'), [{ path: 'sources[0].streams', hint: 'list' }]],
  ['no streams', oneSource().replace('streams: [A]', 'streams: []'), [{ path: 'sources[0].streams', hint: 'at least 1' }]],
  ['a missing table', oneSource('', '[{ target: a.b }]'), [{ path: 'sources[0].streams[0].table', hint: 'Add table' }]],
  ['a rule without column', oneSource('rules: [{ check: unique }]'), [{ path: 'sources[0].rules[0].column', hint: 'column: NAME' }]],
  ['an unknown check', oneSource('rules: [{ column: a, check: { rnage: 1 } }]'), [{ path: 'sources[0].rules[0].check', hint: 'range' }]],
  ['a way to find deletes', oneSource('deletes: { detect: log }'), [{ path: 'sources[0].deletes.detect' }]],
  ['a destination that is none', oneSource().replace('postgresql:', 'mysql:'), [{ path: 'destination.url', hint: 'postgresql://' }]],
  ['a ${ without a name', oneSource('name: "${not a name}"'), [{ path: 'sources[0].name', hint: '$${' }]],
  ['a source that is no group', 'sources: [3]', [{ path: 'sources[0]' }]],
  ['no sources', 'defaults: {}', [{ path: 'sources' }]],
];

test.each(CASES)('%s', async (_name, text, expected) => {
  const problems = await problemsOf(text);
  expect(problems.map((problem) => problem.path).sort()).toEqual(expected.map((each) => each.path).sort());
  for (const { code, path, hint } of expected) {
    const problem = problems.find((each) => each.path === path);
    expect(problem?.code).toBe(code ?? 'config.invalid');
    expect(problem?.message).toMatch(/^[A-Z].*\.$/);
    if (hint !== undefined) expect(problem?.hint).toContain(hint);
  }
});

test('all problems are told, in the order of the file, with line and column', async () => {
  const text = `destination: { urll: x }
defaults:
  overlap: 5x
sources:
  - id: A
    kind: nosuch
    connection: {}
    streams: [A]
  - id: b
    kind: mysql
    connection: { host: h, database: d, user: u, password: "\${PW}" }
    streams:
      - table: T
        mask: { c: { hmac: nokey } }
        drift: evolv
`;
  const problems = await problemsOf(text);
  expect(problems.map(({ line, column, path }) => `${line}:${column} ${path}`)).toEqual([
    '1:16 destination.urll', '3:12 defaults.overlap', '5:9 sources[0].id', '6:11 sources[0].kind',
    '11:60 sources[1].connection.password', '14:28 sources[1].streams[0].mask.c.hmac', '15:16 sources[1].streams[0].drift',
  ]);
});

test('the error is its first problem, with all of them in it', async () => {
  const error: unknown = await load(oneSource('drift: x\noverlap: y')).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: 'config.invalid', path: 'sources[0].drift', exit: 2, retry: 'permanent' });
  expect((error as { info(): object }).info()).toMatchObject({ file: 'tidemark.yaml', line: 7, problems: [{ path: 'sources[0].drift' }, { path: 'sources[0].overlap' }] });
});

test('the second spelling has paths of its own', async () => {
  const problems = await problemsOf('endpoints: [{ id: a, db_type: mysql, connection: { host: h, database: d, user: u, password: "" }, tabels: [T], poll_interval: soon }]');
  expect(problems.map((problem) => problem.path)).toEqual(['endpoints[0].tabels', 'endpoints[0].poll_interval']);
});

describe('keys for masks', () => {
  const text = `keys: { k: { env: K } }\n${oneSource()}`;
  test.each([
    ['missing', undefined], ['empty', ''], ['too short', Buffer.alloc(16, 'ab').toString('base64')], ['not base64', 'x'.repeat(44)], ['all bytes the same', Buffer.alloc(32, 7).toString('base64')],
  ])('%s', async (_name, value) => {
    const problems = await problemsOf(text, { env: { K: value } });
    expect(problems).toEqual([expect.objectContaining({ code: 'config.key_missing', path: 'keys.k' })]);
  });

  test('from a file', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'tidemark-key-')), 'key');
    const fromFile = `keys: { k: { file: ${file} } }\n${oneSource()}`;
    expect(await problemsOf(fromFile)).toHaveLength(1);
    writeFileSync(file, `${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}\n`);
    expect(await problemsOf(fromFile)).toEqual([]);
  });
});

describe('syntax', () => {
  test('what follows one slip is not told line by line', async () => {
    expect(await problemsOf('sources:\n  - id: x\n    kind: postgres\n    connection: { host: a, user: ${NAME} }\n    streams: [a]\n    priority: low\n')).toHaveLength(1);
  });

  test.each([
    ['a tab', 'sources:\n\t- id: a\n', 2], ['an open quote', 'a: "x\nb: 1\n', 3], ['an open bracket', 'a: [1, 2\n', 2], ['a key twice', 'a: 1\na: 2\n', 2],
    ['two documents', 'a: 1\n---\nb: 2\n', 2], ['an unknown tag', 'a: !!js/function x\n', 1], ['an unknown alias', 'a: *x\n', 1], ['a key in a value', 'a: b: c\n', 1],
    ['indentation', 'a:\n    b: 1\n  c: 2\n', 3],
  ])('%s', async (_name, text, line) => {
    const [problem] = await problemsOf(text);
    expect(problem).toMatchObject({ code: 'config.syntax', line });
    expect(problem?.hint).not.toBeNull();
  });

  test('an empty file', async () => {
    expect(await problemsOf('')).toEqual([expect.objectContaining({ code: 'config.invalid', message: 'The configuration file is empty.' })]);
  });

  test('a file that is not there, a folder', async () => {
    const options = { env: {}, requireEnv: true };
    await expect(loadSettings('/no/such/tidemark.yaml', options)).rejects.toMatchObject({ code: 'config.file_missing', hint: expect.stringContaining('init') });
    await expect(loadSettings(tmpdir(), options)).rejects.toMatchObject({ code: 'config.file_missing' });
  });
});
