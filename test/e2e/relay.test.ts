/** The relay against receivers that misbehave: retries, a stream's poisoned event, an order that ids alone do not give, addresses that are refused. */
import { randomBytes } from 'node:crypto';
import { RELAY_OPTIONS, runRelay, type RelayOptions } from '../../control/events/relay.ts';
import { openDestination, type Destination } from '../../destinations/postgres/destination.ts';
import { pruneEvents, saveWebhook } from '../../destinations/postgres/webhooks.ts';
import { describeWith } from '../support/describe-with.ts';
import { waitFor } from '../support/processes.ts';
import { PrivatePostgres, type PostgresDatabase } from '../support/postgres.ts';
import { onFileEnd } from '../support/release.ts';
import { WebhookReceiver, type Reply } from '../support/webhook-receiver.ts';

const SECRET = `whsec_${randomBytes(32).toString('base64')}`;
const QUICK: RelayOptions = { ...RELAY_OPTIONS, lookEveryMs: 20, idleMs: 20, retryFirstMs: 10, retryMaxMs: 40, failedAfter: 4, failedRetryMs: 50 };
const EMIT = 'INSERT INTO tidemark.event (type, source, stream, data) VALUES ($1, $2, $3, $4) RETURNING id';

describeWith({ postgres: true }, 'relay', () => {
  let target: PostgresDatabase;
  let destination: Destination;
  let receiver: WebhookReceiver;
  let running: { stop(): Promise<void> } | null = null;
  const emit = (stream: string | null, n: number, type = 'DataSynced') => target.query(EMIT, [type, 'bank', stream, JSON.stringify({ n })]);
  const register = (url: string, more: object = {}) => destination.session('test', (session) => saveWebhook(session, { url, secret: '${HOOK}', types: null, insecure: false, ...more }));
  const taken = (stream?: string) => receiver.taken(stream).map(({ data }) => data['n']);
  const start = (variables: Record<string, string> = { HOOK: SECRET }) => {
    const ending = new AbortController();
    const relay = runRelay(destination, () => variables, ending.signal, QUICK);
    running = { stop: () => (ending.abort(), relay) };
    return running;
  };
  const stalled = (stream: string) => target.query('SELECT state, attempts, error FROM tidemark.webhook_stream WHERE stream = $1', [stream]);

  beforeAll(async () => {
    // What is delivered is forgotten once no older transaction of the whole server is open: here all are of these tests.
    target = await (await PrivatePostgres.start({ autovacuum: 'off' })).createDatabase('target');
    destination = openDestination(target.url);
    onFileEnd(() => destination.close());
    await destination.ready();
  });
  beforeEach(async () => {
    await target.query('DELETE FROM tidemark.webhook; DELETE FROM tidemark.event');
    receiver = await WebhookReceiver.start();
    await register(receiver.url);
  });
  afterEach(async () => {
    await running?.stop();
    running = null;
  });

  test('an event with a lower id that commits later is delivered, and nothing is delivered twice', async () => {
    start();
    await emit('a', 1);
    const late = await target.client();
    await late.query('BEGIN');
    await late.query(EMIT, ['DataSynced', 'bank', 'a', '{"n": 2}']);
    await emit('a', 3);
    await waitFor('the later id', () => (taken('a').length === 2 ? true : null));
    await late.query('COMMIT');
    await waitFor('the lower id', () => (taken('a').length === 3 ? true : null));
    expect(taken('a')).toEqual([1, 3, 2]);
    expect(receiver.deliveries).toHaveLength(3);
  });

  test('an event of a source as a whole has no subject', async () => {
    start();
    await emit(null, 1, 'BreakerOpened');
    const [event] = await waitFor('the event', () => (receiver.deliveries.length > 0 ? receiver.deliveries : null));
    expect(event).toMatchObject({ type: 'tidemark.BreakerOpened', source: 'tidemark/bank', subject: undefined });
  });

  test('one event that is not taken holds up its stream, no other; its order holds after the repair', async () => {
    receiver.reply = ({ subject, data }) => (subject === 'poisoned' && data['n'] === 2 ? 422 : 204);
    for (const n of [1, 2, 3]) await emit('poisoned', n);
    for (const n of [1, 2, 3]) await emit('well', n);
    start();
    await waitFor('failure', async () => ((await stalled('poisoned'))[0]?.['state'] === 'failed' ? true : null));
    await waitFor('the other stream', () => (taken('well').length === 3 ? true : null));
    expect([taken('well'), taken('poisoned')]).toEqual([[1, 2, 3], [1]]);
    expect((await stalled('poisoned'))[0]).toMatchObject({ error: 'HTTP 422' });
    receiver.reply = () => 204;
    await waitFor('the rest', () => (taken('poisoned').length === 3 ? true : null));
    expect(taken('poisoned')).toEqual([1, 2, 3]);
    await waitFor('its row to go', async () => ((await stalled('poisoned')).length === 0 ? true : null));
  });

  test.each<readonly [string, Reply, string]>([
    ['a redirect is not followed', { status: 302, headers: { location: 'http://127.0.0.1:1/' } }, 'HTTP 302'],
    ['a receiver that asks for time gets it', { status: 429, headers: { 'retry-after': '3000' } }, 'HTTP 429'],
  ])('%s', async (_name, reply, error) => {
    receiver.reply = () => reply;
    await emit('a', 1);
    start();
    await waitFor('the failure', async () => ((await stalled('a'))[0]?.['error'] === error ? true : null));
    if (error === 'HTTP 429') expect(Number(await target.value('SELECT extract(epoch FROM next_at - clock_timestamp()) FROM tidemark.webhook_stream'))).toBeGreaterThan(2_000);
  });

  test('a webhook that is silent holds up no other', async () => {
    const silent = await WebhookReceiver.start();
    silent.reply = () => 'silence';
    await register(silent.url);
    for (let n = 0; n < 20; n++) await emit(`s${n % 10}`, n);
    start();
    await waitFor('all', () => (receiver.taken().length === 20 ? true : null));
    expect(silent.deliveries.length).toBeLessThanOrEqual(4);
  });

  test.each([
    ['a secret that is not set', {}, {}, 'config.variable_missing'],
    ['a weak secret', { HOOK: 'short' }, {}, 'config.key_missing'],
    ['metadata of a cloud', { HOOK: SECRET }, { url: 'http://169.254.169.254/', insecure: true }, 'config.invalid'],
    ['http to another machine', { HOOK: SECRET }, { url: 'http://hook.example/' }, 'config.invalid'],
    ['a port where nobody listens', { HOOK: SECRET }, { url: 'http://127.0.0.1:9/' }, 'ECONNREFUSED'],
  ])('%s: nothing is sent, and it is said', async (_name, variables, more, error) => {
    if ('url' in more) await target.query('DELETE FROM tidemark.webhook');
    await register(receiver.url, more);
    await emit('a', 1);
    start(variables);
    await waitFor('the failure', async () => ((await stalled('a'))[0]?.['error'] === error ? true : null));
    expect(receiver.deliveries).toEqual([]);
  });

  test('a new webhook is told from now on, another only of its types; what is delivered is forgotten', async () => {
    await emit('a', 1);
    start();
    await waitFor('delivery', () => (taken('a').length === 1 ? true : null));
    const second = await WebhookReceiver.start();
    await register(second.url, { types: ['StreamParked'] });
    await emit('a', 2);
    await emit('a', 3, 'StreamParked');
    await waitFor('the second', () => (second.deliveries.length > 0 ? true : null));
    await waitFor('compaction', async () => ((await target.value('SELECT count(*) FROM tidemark.webhook_delivery')) === '0' ? true : null));
    expect(second.deliveries.map(({ data }) => data['n'])).toEqual([3]);
    expect(taken('a')).toEqual([1, 2, 3]);
  });

  test('the outbox is bounded: delivered events go first, and what goes undelivered is counted', async () => {
    await target.query("UPDATE tidemark.webhook SET types = '{StreamParked}'");
    for (const n of [1, 2]) await emit('a', n);
    await emit('a', 3, 'StreamParked');
    const prune = (bounds: object) => destination.session('test', (session) => pruneEvents(session, { keepDays: 7, rowsMax: 1_000, undeliveredDays: 30, undeliveredRowsMax: 1_000, ...bounds }, 100));
    expect(await prune({})).toBe(0);
    expect(await prune({ rowsMax: 0 })).toBe(2);
    expect(await target.value('SELECT dropped FROM tidemark.webhook')).toBe('0');
    expect(await prune({ rowsMax: 0, undeliveredRowsMax: 0 })).toBe(1);
    expect(await target.value('SELECT dropped FROM tidemark.webhook')).toBe('1');
  });
});
