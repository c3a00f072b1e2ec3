/** What is printed is safe for terminals and of the form that was asked for. */
import { Writable } from 'node:stream';
import { createOutput, type Output, type Sink } from '../../cli/output.ts';
import { safeJson, safeLine, safeText } from '../../cli/terminal-text.ts';
import { asFailure } from '../../cli/failure.ts';
import { TidemarkError } from '../../schemas/errors.ts';

const HOSTILE = 'a\u001b[2J\r\n{"level":"info"}\u202eb\u009b31m\u0000\u200b\u007f';

function outputTo(options: { terminal?: boolean; json?: boolean; plain?: boolean }): { output: Output; said: () => { stdout: string; stderr: string } } {
  const texts = { stdout: '', stderr: '' };
  const sink = (name: 'stdout' | 'stderr'): Sink => Object.assign(new Writable({
    write(chunk: Buffer, _encoding, done) {
      texts[name] += chunk.toString();
      done();
    },
  }), { isTTY: options.terminal === true });
  const output = createOutput({ stdout: sink('stdout'), stderr: sink('stderr'), json: options.json === true, plain: options.plain === true });
  return { output, said: () => texts };
}

const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u202e]/;

test('a hostile name is shown, not obeyed', () => {
  expect(safeLine(HOSTILE)).toBe('a\\u001b[2J\\r\\n{"level":"info"}\\u202eb\\u009b31m\\u0000\\u200b\\u007f');
  expect(safeText(HOSTILE, true)).not.toMatch(CONTROL);
  expect(JSON.parse(safeJson({ name: HOSTILE }))).toEqual({ name: HOSTILE });
  expect(safeJson({ name: HOSTILE })).not.toMatch(CONTROL);
});

test('of styles only our own stay', () => {
  expect(safeText('\u001b[31mred\u001b[39m\u001b[8mhidden\u001b[38;5;1m', true)).toBe('\u001b[31mred\u001b[39m\\u001b[8mhidden\\u001b[38;5;1m');
  expect(safeText('\u001b[31mred', false)).toBe('\\u001b[31mred');
});

test('ordinary text of any script stays as it is', () => {
  for (const text of ['Ünïcode', '北京', 'العربية', '😀', 'Zażółć']) expect([safeLine(text), JSON.parse(safeJson(text)) as string]).toEqual([text, text]);
});

test('a table in a pipe is plain lines, one for each row', async () => {
  const { output } = outputTo({});
  expect(await output.table(['stream', 'rows'], [['a\tb\nc', '1'], [HOSTILE, '2']])).toBe(`stream\trows\na\\tb\\nc\t1\n${safeLine(HOSTILE)}\t2`);
});

test('a table on a terminal has rules, and holds no line end of a name', async () => {
  const { output } = outputTo({ terminal: true, plain: true });
  const table = await output.table(['stream', 'rows'], [[HOSTILE, '1'], ['b', '22']]);
  expect(table).toContain('│ b');
  expect(table).not.toMatch(CONTROL);
  expect(table.split('\n')).toHaveLength(6);
});

test.each([
  ['on a terminal', { terminal: true }, true], ['with NO_COLOR', { terminal: true, plain: true }, false], ['in a pipe', {}, false], ['with --json', { terminal: true, json: true }, false],
])('colours %s', async (_name, options, coloured) => {
  const { output, said } = outputTo(options);
  await output.result({ ok: true }, () => output.colours.green('ok'));
  expect(said().stdout.includes('\u001b[32m')).toBe(coloured);
});

test('--json: one document, and nothing but it on stdout', async () => {
  const { output, said } = outputTo({ json: true });
  await output.line('progress');
  await output.note('a log');
  await output.result({ ok: true }, () => 'text');
  expect(said()).toEqual({ stdout: '{"ok":true}\n', stderr: 'a log\n' });
});

test('an error is a sentence, its hint on the next line, or JSON', async () => {
  const error = new TidemarkError('source.unreachable', `No answer from ${HOSTILE}.`, { hint: 'Check the port.', path: 'sources[0].connection.port' }).info();
  const plain = outputTo({});
  await plain.output.failure(error);
  expect(plain.said()).toEqual({ stdout: '', stderr: `No answer from ${safeLine(HOSTILE)}.\nCheck the port.\n` });
  const json = outputTo({ json: true });
  await json.output.failure(error);
  expect(JSON.parse(json.said().stdout)).toEqual({ ok: false, error });
});

test('an error that nobody expected shows its place, not its message', () => {
  const failure = asFailure(new TypeError('password=hunter2'));
  expect(failure).toMatchObject({ code: 'internal.unexpected', exit: 1 });
  expect(JSON.stringify(failure.info())).not.toContain('hunter2');
  expect(failure.message).toContain('cli-output.test.ts');
});
