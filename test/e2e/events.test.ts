/** Events as a receiver sees them: written with what they tell of, delivered in order and signed, at least once though the worker is killed. */
import { randomBytes } from 'node:crypto';
import { describeWith } from '../support/describe-with.ts';
import { waitFor } from '../support/processes.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';
import { Tidemark } from '../support/tidemark.ts';
import { isSigned, WebhookReceiver } from '../support/webhook-receiver.ts';

const SECRET = `whsec_${randomBytes(32).toString('base64')}`;

const configuration = (source: PostgresDatabase, webhooks: string) => `
destination: { url: "\${DESTINATION_URL}" }
events: { webhooks: [${webhooks}] }
defaults: { poll_interval: 365d, bad_rows_max: 1.0 }
sources:
  - id: bank
    kind: postgres
    connection: ${source.connection}
    streams:
      - { table: account, cursor: changed }
      - { table: card, cursor: changed, rules: [{ column: n, check: "n >= 0" }] }
`;

describeWith({ postgres: true, temporal: true }, 'events', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  let live: WebhookReceiver;
  let dead: WebhookReceiver;
  const change = (table: string) => source.query(`UPDATE ${table} SET n = n + 1, changed = clock_timestamp() WHERE id = 1`);
  const stored = (stream: string) => target.query("SELECT event_id, type, data FROM tidemark.event WHERE stream = $1 ORDER BY id", [stream]);

  beforeAll(async () => {
    [source, target, live, dead] = [await createDatabase('bank'), await createDatabase('target'), await WebhookReceiver.start(), await WebhookReceiver.start()];
    for (const table of ['account', 'card']) {
      await source.query(`CREATE TABLE ${table} (id int PRIMARY KEY, n int, secret text DEFAULT 'CANARY', changed timestamptz NOT NULL DEFAULT clock_timestamp()); INSERT INTO ${table} SELECT g, g FROM generate_series(1, 5) g`);
    }
    dead.reply = () => 500;
    const webhooks = `{ url: "${live.url}", secret: "\${HOOK_SECRET}" }, { url: "${dead.url}", secret: "\${HOOK_SECRET}", types: [DataSynced] }`;
    tidemark = await Tidemark.start(configuration(source, webhooks), { ...source.secrets, DESTINATION_URL: target.url, HOOK_SECRET: SECRET });
    const { changes } = await tidemark.must('plan', '--json');
    expect(changes?.filter(({ action }) => action === 'add_webhook').map(({ object }) => object)).toEqual([new URL(live.url).origin, new URL(dead.url).origin]);
    await tidemark.apply();
    expect((await tidemark.must('plan', '--json')).changes).toEqual([]);
  });

  test('a swap and each batch after it arrive as signed CloudEvents, in order', async () => {
    await tidemark.syncAll();
    await change('account');
    await tidemark.syncAll();
    await waitFor('two events of account', () => (live.taken('account').length >= 2 ? true : null));
    const [swap, batch] = live.taken('account');
    expect(swap).toMatchObject({ type: 'tidemark.DataSynced', source: 'tidemark/bank', data: { kind: 'swap', target: 'bank.account', read: 5, written: 5 } });
    const [ledger] = await target.query("SELECT batch, read, written FROM tidemark.ledger WHERE stream = 'account' ORDER BY batch DESC LIMIT 1");
    expect(batch?.data).toEqual({
      batch: Number(ledger?.['batch']), kind: 'range', target: 'bank.account', read: Number(ledger?.['read']), written: 1, unchanged: Number(ledger?.['read']) - 1, rejected: 0, superseded: 0, deleted: 0,
      watermark: { from: expect.any(String), to: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) },
    });
    expect(batch?.event).toMatchObject({ specversion: '1.0', datacontenttype: 'application/json', time: expect.stringMatching(/Z$/) });
    expect(batch?.headers).toMatchObject({ 'content-type': expect.stringContaining('application/cloudevents+json'), 'webhook-id': batch?.id });
    for (const each of live.deliveries) expect(isSigned(each, SECRET)).toBe(true);
    expect(isSigned({ ...batch!, body: `${batch!.body} ` }, SECRET)).toBe(false);
    expect(JSON.stringify(live.deliveries)).not.toContain('CANARY');
  });

  test('a poll that finds nothing writes no event', async () => {
    const before = await target.value('SELECT count(*) FROM tidemark.event');
    await tidemark.syncAll();
    expect(await target.value('SELECT count(*) FROM tidemark.event')).toBe(before);
  });

  test('rejected rows are told of once, by reason and count', async () => {
    await source.query('UPDATE card SET n = -1, changed = clock_timestamp() WHERE id IN (2, 3)');
    await tidemark.syncAll();
    await change('card');
    await tidemark.syncAll();
    const rejected = (await stored('card')).filter(({ type }) => type === 'BatchRejected').map(({ data }) => JSON.parse(data!) as object);
    expect(rejected).toEqual([{ batch: expect.any(Number), rejected: 2, reasons: [{ code: 'sql', column: 'n', rule: expect.any(String), rows: 2 }] }]);
  });

  test('a dead webhook holds nobody up, and is seen', async () => {
    const webhooks = await waitFor('both streams to be held up', async () => {
      const told = ((await tidemark.must('events', '--json')) as unknown as { webhooks: { url: string; state: string; stalled: object[] }[] }).webhooks;
      return told.at(-1)?.stalled.length === 2 ? told : null;
    });
    expect(new Set(dead.deliveries.map(({ id }) => id)).size).toBeLessThanOrEqual(2);
    expect(dead.deliveries.every(({ type }) => type === 'tidemark.DataSynced')).toBe(true);
    expect(webhooks).toMatchObject([{ state: 'ok', stalled: [] }, { url: new URL(dead.url).origin, state: 'retrying', stalled: [{ source: 'bank', stream: 'account', error: 'HTTP 500' }, { stream: 'card' }] }]);
    const { streams } = (await tidemark.must('status', '--json')) as unknown as { streams: { warnings: string[] }[] };
    expect(streams[0]?.warnings.join()).toContain('events wait for the webhook');
    for (const text of tidemark.printed().values()) {
      expect(text).not.toContain('t0ken');
      expect(text).not.toContain(SECRET.slice(6));
    }
  });

  test('a worker killed in the middle of a delivery: the next one makes it again, nothing is skipped and the order holds', async () => {
    live.reply = () => 'silence';
    const earlier = new Set(live.deliveries.map(({ id }) => id));
    await change('account');
    await tidemark.syncAll();
    const open = await waitFor('a delivery under way', () => live.deliveries.find(({ id, subject }) => subject === 'account' && !earlier.has(id)) ?? null);
    await tidemark.workers[0]!.kill('SIGKILL');
    live.reply = () => 204;
    tidemark.startWorker();
    await tidemark.workerReady(2);
    await change('account');
    await tidemark.syncAll();
    const ids = await waitFor('all events', async () => {
      const events = (await stored('account')).map(({ event_id: id }) => id);
      const taken = live.taken('account').map(({ id }) => id);
      return taken.length === events.length ? { events, taken } : null;
    });
    expect(ids.taken).toEqual(ids.events);
    expect(live.deliveries.filter(({ id }) => id === open.id).length).toBeGreaterThan(1);
  });

  test('a batch that is stopped by its rows is told of, and its stream that parks', async () => {
    const before = Number(await target.value('SELECT max(id) FROM tidemark.event'));
    tidemark.configure(configuration(source, '').replace('"n >= 0"', '"n >= 0", otherwise: stop'));
    await tidemark.apply();
    await source.query('UPDATE card SET n = -5, changed = clock_timestamp() WHERE id = 4');
    expect((await tidemark.run('sync', '--all', '--json')).code).toBe(1);
    const told = await target.query('SELECT type, data FROM tidemark.event WHERE id > $1 ORDER BY id', [before]);
    expect(told.map(({ type, data }) => ({ type, data: JSON.parse(data!) as object }))).toMatchObject([
      { type: 'BatchRejected', data: { stopped: 'batch.rule_broken' } }, { type: 'StreamParked', data: { code: 'batch.rule_broken', command: expect.stringContaining('tidemark retry bank') } },
    ]);
  });

  test('a webhook that the file names no more is told of nothing', async () => {
    tidemark.configure(configuration(source, ''));
    await tidemark.apply();
    expect(await target.value('SELECT count(*) FROM tidemark.webhook')).toBe('0');
    expect(await target.value('SELECT count(*) FROM tidemark.webhook_stream')).toBe('0');
  });
});
