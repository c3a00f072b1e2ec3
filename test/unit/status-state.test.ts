/** What `status` decides from what is stored. */
import { lagSeconds, stateOf, warningsOf, type LastRun, type StreamFacts } from '../../control/stream-state.ts';
import type { ErrorInfo } from '../../schemas/errors.ts';

const NOW = 1_000_000;

const ran: LastRun = { runId: 'r1', status: 'completed', error: null, batches: 2, startedAt: NOW - 100, endedAt: NOW - 90 };

const healthy: StreamFacts = {
  source: 'hq', stream: 'account', enabled: true, sourcePaused: false, streamPaused: false, scheduled: true, parked: null,
  checkedAt: NOW - 90.5, asOf: NOW - 99, hasWatermark: true, last: ran, futureRows: 0, quarantined: 0, notes: [],
};

const missing: ErrorInfo = { code: 'source.table_missing', message: 'Table account does not exist.', hint: 'Create it.' };
const lost: ErrorInfo = { code: 'source.history_lost', message: 'The table was made again.', hint: null };
const shrinks: ErrorInfo = { code: 'target.shrinks', message: 'The new build is small.', hint: null };
const unreachable: ErrorInfo = { code: 'source.unreachable', message: 'Nobody answers.', hint: 'Check the port.' };
const last = (changes: Partial<LastRun>): LastRun => ({ ...ran, ...changes });

const states: readonly (readonly [string, Partial<StreamFacts>, { status: string; next: string | null; code: string | null }])[] = [
  ['a run that ended well', {}, { status: 'completed', next: null, code: null }],
  ['disabled, whatever else holds', { enabled: false, parked: missing, sourcePaused: true }, { status: 'disabled', next: null, code: null }],
  ['a paused source', { sourcePaused: true, streamPaused: true }, { status: 'paused', next: 'tidemark resume hq', code: null }],
  ['a paused stream', { streamPaused: true }, { status: 'paused', next: 'tidemark resume hq --stream account', code: null }],
  ['paused while its last batch ends', { streamPaused: true, last: last({ status: 'running', endedAt: null }) }, { status: 'paused', next: 'tidemark resume hq --stream account', code: null }],
  ['a parked stream that is being tried', { parked: missing, last: last({ status: 'running', endedAt: null }) }, { status: 'running', next: null, code: null }],
  ['parked', { parked: missing, last: last({ status: 'parked', error: missing }) }, { status: 'parked', next: 'tidemark retry hq --stream account', code: 'source.table_missing' }],
  ['history lost', { parked: lost }, { status: 'history_lost', next: 'tidemark reset hq --stream account', code: 'source.history_lost' }],
  ['history lost, its reset planned', { parked: lost, waiting: [{ id: '7', action: 'reset' }] }, { status: 'history_lost', next: 'tidemark approve 7', code: 'source.history_lost' }],
  ['a build that waits for a decision', { parked: shrinks, waiting: [{ id: '8', action: 'swap' }] }, { status: 'parked', next: 'tidemark approve 8', code: 'target.shrinks' }],
  ['decided, and not run since', { last: last({ status: 'parked', error: shrinks }) }, { status: 'skipped', next: 'tidemark sync hq --stream account', code: 'run.incomplete' }],
  ['stopped with its whole source', { last: last({ status: 'parked', error: missing }) }, { status: 'parked', next: 'tidemark retry hq --stream account', code: 'source.table_missing' }],
  ['stopped with its source, found complete by a later poll', { last: last({ status: 'parked', error: missing }), checkedAt: NOW - 1 }, { status: 'completed', next: null, code: null }],
  ['a source that can’t be reached', { last: last({ status: 'skipped', error: unreachable }) }, { status: 'skipped', next: 'tidemark check hq', code: 'source.unreachable' }],
  ['reached again by a later poll', { last: last({ status: 'skipped', error: unreachable }), checkedAt: NOW - 1 }, { status: 'completed', next: null, code: null }],
  ['never synced', { last: null, checkedAt: null, asOf: null, hasWatermark: false }, { status: 'skipped', next: 'tidemark sync hq --stream account', code: 'run.incomplete' }],
  ['paused before its end and resumed', { last: last({ status: 'paused' }) }, { status: 'skipped', next: 'tidemark sync hq --stream account', code: 'run.incomplete' }],
];

test.each(states)('%s', (_name, changes, expected) => {
  const { status, next, error } = stateOf({ ...healthy, ...changes });
  expect({ status, next, code: error?.code ?? null }).toEqual(expected);
});

test('a hint ends with the exact command, quoted for a shell', () => {
  const { error } = stateOf({ ...healthy, stream: "it's mine", parked: missing });
  expect(error?.hint).toBe(String.raw`Create it. Next: tidemark retry hq --stream 'it'\''s mine'`);
});

test('a source without a schedule is not promised to go on by itself', () => {
  const skipped = { ...healthy, last: last({ status: 'skipped', error: unreachable }) };
  expect(stateOf(skipped).error?.hint).toContain('by itself');
  expect(stateOf({ ...skipped, scheduled: false }).error?.hint).not.toContain('by itself');
});

const lags: readonly (readonly [string, Partial<StreamFacts>, number | null])[] = [
  ['a run that brought rows counts from its snapshot, not from its end', {}, 99],
  ['a poll after it counts from the poll', { checkedAt: NOW - 3.25 }, 3.25],
  ['a run that found nothing counts from its question', { last: last({ batches: 0 }) }, 90.5],
  ['a run under way counts from the completion before it', { checkedAt: NOW - 500, last: last({ status: 'running', endedAt: null }) }, 500],
  ['a run that failed after some batches counts from the completion before it', { checkedAt: NOW - 500, last: last({ status: 'parked' }) }, 500],
  ['before the first sync', { hasWatermark: false, checkedAt: null, asOf: null, last: null }, null],
  ['a source whose clock is ahead', { asOf: NOW + 5 }, 0],
];

test.each(lags)('lag: %s', (_name, changes, expected) => {
  expect(lagSeconds({ ...healthy, ...changes }, NOW)).toBe(expected);
});

test('warnings say rows beyond the future limit, rows in quarantine, and what the plan said', () => {
  expect(warningsOf(healthy)).toEqual([]);
  const warnings = warningsOf({ ...healthy, notes: ['no cursor'], futureRows: 1_200, quarantined: 1 });
  expect(warnings).toEqual(['no cursor', '1,200 rows lie beyond the future limit: loaded, and read again in each run', '1 rejected row waits in quarantine (table tidemark.quarantine)']);
});
