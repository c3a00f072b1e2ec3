/**
 * Every payload of the recorded histories, decoded, field by field: ids, counts, states and sentences of ours, each named here. A field that is
 * not named fails, so whoever adds one decides here that it may cross Temporal. No row, key or secret ever does.
 */
import { ERROR_CODES } from '../../schemas/errors.ts';
import { recordedHistories } from './history-files.ts';
import type { Json } from './history-files.ts';
import { ROW_MARK } from './row-mark.ts';

const isCount = (value: Json) => Number.isSafeInteger(value);
const isFlag = (value: Json) => typeof value === 'boolean';
const isId = (value: Json) => typeof value === 'string' && /^[\w./-]{1,120}$/.test(value);
const isSentence = (value: Json) => typeof value === 'string' && value.length <= 400;
const isOneOf = (...words: readonly string[]) => (value: Json) => typeof value === 'string' && words.includes(value);
const isStatus = isOneOf('completed', 'running', 'paused', 'parked', 'skipped', 'history_lost', 'disabled', 'failed', 'cancelled');

/** Field → what may stand in it. A null may stand in any. */
const ALLOWED: Readonly<Record<string, (value: Json) => boolean>> = {
  source: isId,
  stream: isId,
  'streams[]': isId,
  'changed[]': isId,
  runId: isId,
  workflowId: isId,
  workflowRunId: isId,
  step: isId,
  queue: isId,
  batch: isCount,
  part: isCount,
  'parts[]': isCount,
  generation: isCount,
  poll: isCount,
  polls: isCount,
  settled: isCount,
  priority: isCount,
  everySeconds: isCount,
  windowSeconds: isCount,
  windowOffsetSeconds: isCount,
  chapter: isCount,
  batches: isCount,
  read: isCount,
  written: isCount,
  unchanged: isCount,
  rejected: isCount,
  superseded: isCount,
  deleted: isCount,
  bytes: isCount,
  full: isFlag,
  more: isFlag,
  needsTransform: isFlag,
  staged: isFlag,
  paused: isFlag,
  catchUp: isFlag,
  over: isFlag,
  giveWay: isFlag,
  streams: () => false,
  error: () => false,
  status: isStatus,
  state: isOneOf('active', 'waiting', 'shared'),
  action: isOneOf('increment', 'build'),
  trigger: isOneOf('manual', 'schedule', 'window'),
  code: isOneOf(...Object.keys(ERROR_CODES)),
  // Sentences of ours name tables and columns, never a value; test/proof/secrets.test.ts searches for rows in them.
  message: isSentence,
  hint: isSentence,
  'notes[]': isSentence,
  // Frames of a stack are left out where a history is written down.
  stack_trace: (value) => value === '',
  // Temporal's own, of a local activity.
  seq: isCount,
  attempt: isCount,
  backoff: () => false,
  activity_id: isId,
  activity_type: isId,
  seconds: isCount,
  nanos: isCount,
};

/** Values that stand alone: what a step returns, a search attribute, the line that the UI shows of a step. */
const isAlone = (value: Json) => isFlag(value) || isId(value) || (typeof value === 'string' && /^(?:(?:extract|copy part) [\w.]+|(?:transform|load) [\d,]+ rows|[\w.-]+ [\w.-]+)$/.test(value));

const isPayload = (value: Json): value is { metadata: { encoding: string }; data?: string } => typeof value === 'object' && value !== null && 'metadata' in value && typeof value.metadata === 'object' && value.metadata !== null && 'encoding' in value.metadata;

function* payloadsIn(value: Json): Generator<Json> {
  if (isPayload(value)) {
    const encoding = Buffer.from(value.metadata.encoding, 'base64').toString();
    const text = Buffer.from(value.data ?? '', 'base64').toString();
    if (encoding === 'binary/null') return;
    if (encoding !== 'json/plain') throw new Error(`a payload is ${encoding}`);
    yield JSON.parse(text) as Json;
  } else if (typeof value === 'object' && value !== null) {
    for (const each of Object.values(value)) yield* payloadsIn(each);
  }
}

/** Fields of a decoded payload that may not stand in it, in words without their values. */
function* refused(value: Json, field: string): Generator<string> {
  if (value === null) return;
  if (Array.isArray(value)) for (const each of value as readonly Json[]) yield* refused(each, `${field}[]`);
  else if (typeof value === 'object') for (const [name, each] of Object.entries(value)) yield* refused(each, name);
  else if (field === '' ? !isAlone(value) : !(ALLOWED[field]?.(value) ?? false)) yield field === '' ? 'a value that stands alone' : field;
}

const problems = (events: Json) => [...new Set([...payloadsIn(events)].flatMap((payload) => [...refused(payload, '')]))];

describe('what crosses Temporal', () => {
  test.each(recordedHistories().map((history) => [history.name, history] as const))('%s: only what is named here', (_, { events }) => {
    expect([...payloadsIn(events)].length).toBeGreaterThan(5);
    expect(problems(events)).toEqual([]);
  });

  test.each(recordedHistories().map((history) => [history.name, history] as const))('%s: no row, nowhere', (_, { events }) => {
    const everything = [JSON.stringify(events), ...[...payloadsIn(events)].map((payload) => JSON.stringify(payload))].join('\n');
    expect(everything.includes(ROW_MARK)).toBe(false);
    expect(everything).not.toMatch(/postgres(?:ql)?:\/\/|password/i);
  });

  test.each(recordedHistories().map((history) => [history.name, history] as const))('%s: does not say on which machine it was recorded', (_, { events }) => {
    expect(JSON.stringify(events)).not.toMatch(/\/(?:root|home|tmp|work|Users)\//);
    const identities = new Set([...JSON.stringify(events).matchAll(/"identity":"([^"]*)"/g)].map(([, identity]) => identity));
    expect([...identities].filter((identity) => identity !== 'recorded')).toEqual([]);
  });

  const payload = (value: Json) => ({ metadata: { encoding: Buffer.from('json/plain').toString('base64') }, data: Buffer.from(JSON.stringify(value)).toString('base64') });
  test.each([
    ['a field that nobody named', { iban: 'TZ00 1234' }, 'iban'],
    ['a row in a list', { changed: ['a row with spaces'] }, 'changed[]'],
    ['a value in the place of a count', { batch: '17' }, 'batch'],
    ['a key in the place of a result', 'Asha Mwinyi, 1984', 'a value that stands alone'],
    ['a field deep inside', { error: { code: 'source.query_failed', message: 'm', detail: 'Key (id)=(17)' } }, 'detail'],
  ])('self-test: %s is seen', (_, value, field) => {
    expect(problems([{ eventType: 'X', input: payload(value) }])).toEqual([field]);
  });
});
