/** Webhooks as the file has them: where events may be sent, and how they are signed. */
import { guardedLookup, webhookUrlProblem } from '../../control/events/webhook-address.ts';
import { parseWebhookSecret, signedHeaders } from '../../control/events/webhook-signature.ts';
import { load, problemsOf } from './config-loading.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

test.each([
  'https://hooks.bank.example/tidemark', 'http://127.0.0.1:8080/x', 'http://localhost/x', 'http://[::1]/x', 'https://10.0.0.7/x',
])('%s may be told', (url) => {
  expect(webhookUrlProblem(url, false)).toBeNull();
});

test.each([
  'http://hooks.bank.example/', 'http://10.0.0.7/', 'ftp://h/', 'nothing', 'https://user:pw@h/', 'https://169.254.169.254/', 'https://2852039166/', 'https://0xa9fea9fe/', 'https://0251.0376.0251.0376/',
  'https://[::ffff:169.254.169.254]/', 'https://[64:ff9b::169.254.169.254]/', 'https://[fe80::1]/', 'https://0.0.0.0/', 'https://[::]/', 'https://[fd00:ec2::254]/', 'http://127.0.0.1.example/',
])('%s may not', (url) => {
  expect(webhookUrlProblem(url, false)).not.toBeNull();
});

test('a name is checked by the address that is used for it', async () => {
  const resolve = (plain: boolean, insecure: boolean, host: string) => new Promise((done) => guardedLookup(plain, insecure)(host, { all: true }, (error, addresses) => done(error?.code ?? addresses)));
  expect(await resolve(true, false, 'localhost')).toEqual(expect.arrayContaining([expect.objectContaining({ address: expect.stringMatching(/^(127\.0\.0\.1|::1)$/) })]));
  expect(await resolve(false, true, '169.254.169.254')).toBe('EREFUSEDADDRESS');
  expect(await resolve(true, false, '10.0.0.7')).toBe('EREFUSEDADDRESS');
  expect(await resolve(true, true, '10.0.0.7')).toEqual([{ address: '10.0.0.7', family: 4 }]);
});

// The example of the convention's own libraries.
test('signatures are those of Standard Webhooks', () => {
  expect(signedHeaders('msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}', parseWebhookSecret(SECRET)!)).toEqual({
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek', 'webhook-timestamp': '1614265330', 'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  });
});

test.each([['', null], ['short', null], ['a'.repeat(40), null], ['whsec_AAAA', null], ['whsec_not base64 at all, but long enough for one', null], ['a text of twenty-four bytes', 27]])('the secret %j', (text, bytes) => {
  expect(parseWebhookSecret(text)?.length ?? null).toBe(bytes);
});

const file = (webhook: string) => `destination: { url: "postgresql://u@h/d" }\nevents: { webhooks: [${webhook}] }\nsources: []\n`;

test('references are kept, and types chosen', async () => {
  const { settings } = await load(file('{ url: "https://h/${TOKEN}", secret: "${HOOK}", types: [StreamParked] }'), { env: { TOKEN: 't', HOOK: SECRET } });
  expect(settings.events).toEqual({ webhooks: [{ url: 'https://h/${TOKEN}', secret: '${HOOK}', types: ['StreamParked'], insecure: false }] });
});

test('without a variable only what asks for all of them refuses the file', async () => {
  const text = file('{ url: "https://h/", secret: "${HOOK}" }');
  expect((await load(text, { requireEnv: false })).settings.events?.webhooks).toHaveLength(1);
});

test.each([
  ['a secret in the file', '{ url: "https://h/", secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }', 'events.webhooks[0].secret'],
  ['a secret as a default', '{ url: "https://h/", secret: "${NOT_SET:-whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}" }', 'events.webhooks[0].secret'],
  ['a weak secret', '{ url: "https://h/", secret: "${WEAK}" }', 'events.webhooks[0].secret'],
  ['http to elsewhere', '{ url: "http://h.example/", secret: "${HOOK}" }', 'events.webhooks[0].url'],
  ['a webhook that is named twice', '{ url: "https://h/", secret: "${HOOK}" }, { url: "https://h/", secret: "${HOOK}" }', 'events.webhooks[1].url'],
  ['an unknown type', '{ url: "https://h/", secret: "${HOOK}", types: [DataSinked] }', 'events.webhooks[0].types[0]'],
])('%s is refused where it stands', async (_name, webhook, path) => {
  const problems = await problemsOf(file(webhook), { env: { HOOK: SECRET, WEAK: 'weak' } });
  expect(problems.map((each) => each.path)).toEqual([path]);
  expect(JSON.stringify(problems)).not.toContain('MfKQ9r8GKYq');
});
