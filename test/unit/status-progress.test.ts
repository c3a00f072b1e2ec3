/** What a person sees of a run that goes on. */
import { endLine, progressLines } from '../../cli/progress.ts';
import type { StreamProgress } from '../../control/run-progress.ts';

const stream = (changes: Partial<StreamProgress>): StreamProgress => ({ source: 'hq', stream: 'account', status: 'running', read: 0, written: 0, copying: 0, seconds: 2, error: null, ...changes });

test('before the first row there is the time it takes, then rows and their rate', () => {
  expect(progressLines([stream({})], 10)).toEqual(['hq account  copying, 2 s', '1 running, 0 ended']);
  expect(progressLines([stream({ read: 2_000, copying: 500 })], 10)[0]).toBe('hq account  running, 2,500 rows, 1,250 rows/s, 2 s');
});

test('before any stream has begun it says that the run waits', () => {
  expect(progressLines([], 10)).toEqual(['waiting for the run to begin']);
});

test('running streams stay in view where there are more than lines', () => {
  const many = [...Array.from({ length: 9 }, (_, index) => stream({ stream: `t${index}`, status: 'completed' })), stream({ stream: 'long' })];
  const lines = progressLines(many, 4);
  expect(lines).toHaveLength(4);
  expect(lines[0]).toContain('hq long');
  expect(lines.at(-1)).toBe('1 running, 9 ended, 7 not shown');
});

test('a pipe gets one plain line for the end of a stream', () => {
  const ended = stream({ stream: 'a\u001b[2Jb', status: 'parked', read: 1_234, written: 1_000, error: { code: 'source.table_missing', message: 'm', hint: null } });
  expect(endLine(ended)).toBe('hq a\\u001b[2Jb: parked, 1,234 rows read, 1,000 written, 2.0 s (source.table_missing)');
});
