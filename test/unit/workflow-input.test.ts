/** What starts a workflow is read strictly, as the schemas of the file are. */
import fc from 'fast-check';
import { backfillInputSchema } from '../../schemas/backfill-input.ts';
import { syncInputSchema } from '../../schemas/sync-input.ts';

const DEFAULTS = { streams: null, full: false, detectDeletes: false, trigger: 'manual', windowSeconds: null, everySeconds: null, windowOffsetSeconds: 0 };

function problems(result: ReturnType<typeof syncInputSchema.safeParse> | ReturnType<typeof backfillInputSchema.safeParse>): string[] {
  return result.success ? [] : result.error.issues.map(({ path, message }) => [...path, message].join(': '));
}

test('what is not given has its default, given as undefined too', () => {
  expect(syncInputSchema.parse({ source: 'hq' })).toEqual({ source: 'hq', ...DEFAULTS });
  expect(syncInputSchema.parse({ source: 'hq', full: undefined, streams: undefined })).toEqual({ source: 'hq', ...DEFAULTS });
});

test('what is given stays as it is', () => {
  const given = { source: 'hq', streams: ['a', 'b'], full: true, detectDeletes: true, trigger: 'window' as const, windowSeconds: 300, everySeconds: 5, windowOffsetSeconds: 17 };
  expect(syncInputSchema.parse(given)).toEqual(given);
});

test.each([
  [{ source: 'hq', full: null }, 'full: expected a boolean, true or false'],
  [{ source: 'hq', streams: [''] }, 'streams: expected a list of texts that are not empty, or null'],
  [{ source: 'hq', trigger: 'clock' }, 'trigger: expected one of manual, schedule, window'],
  [{ source: 'hq', everySeconds: 0 }, 'everySeconds: expected a whole number from 1, or null'],
  [{ source: 'hq', everySeconds: 1.5 }, 'everySeconds: expected a whole number from 1, or null'],
  [{ source: 'hq', toString: 1 }, 'there is no field "toString"'],
  [{}, 'source: expected a text that is not empty'],
  [[], 'expected an object'],
  ['hq', 'expected an object'],
])('%j is refused: %s', (input, problem) => {
  expect(problems(syncInputSchema.safeParse(input))).toEqual([problem]);
});

test('bounds hold at both ends, and all problems are told at once', () => {
  const backfill = { source: 'hq', stream: 'account' };
  expect(backfillInputSchema.parse({ ...backfill, parallel: 16 }).parallel).toBe(16);
  expect(problems(backfillInputSchema.safeParse({ ...backfill, parallel: 17, chapter: -1 }))).toEqual(['parallel: expected a whole number from 1 to 16', 'chapter: expected a whole number from 0']);
});

test('no input passes that has another field, and none breaks the reader', () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    const result = syncInputSchema.safeParse(value);
    if (result.success) expect(Object.keys(result.data).sort()).toEqual(['source', ...Object.keys(DEFAULTS)].sort());
  }));
});
