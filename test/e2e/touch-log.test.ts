/** The touch log: whoever keeps a table derived from a target by key finds every key that a batch touched, old ones too. */
import { randomBytes } from 'node:crypto';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';
import { Tidemark } from '../support/tidemark.ts';

const KEY = randomBytes(32).toString('base64');
const configuration = (source: PostgresDatabase, more = '') => `
destination: { url: "\${DESTINATION_URL}" }
keys: { k: { env: KEY_K } }
defaults: { poll_interval: 365d, delete_cap: 1.0 }
sources:
  - id: bank
    kind: postgres
    connection: ${source.connection}
    streams:
      - { table: payment, cursor: changed, touch_log: [ACCOUNT, nida], mask: { nida: { hmac: k } }${more} }
      - { table: quiet, cursor: changed }
`.replace('ACCOUNT', 'account');

describeWith({ postgres: true, temporal: true }, 'touch log', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const sync = (...more: string[]) => tidemark.syncAll('--stream', 'payment', ...more);
  const touched = async () => {
    const rows = await target.query("SELECT old->>'account' AS account, old IS NULL AS whole FROM tidemark.touch WHERE batch = (SELECT max(batch) FROM tidemark.ledger WHERE stream = 'payment') ORDER BY 1");
    return rows.map(({ account, whole }) => (whole === 't' ? 'all' : account));
  };
  /** A derived table kept by nothing but what the follower is told. */
  const refresh = () =>
    target.query(`BEGIN;
      CREATE TEMPORARY TABLE batches ON COMMIT DROP AS SELECT batch FROM tidemark.follow('totals');
      CREATE TEMPORARY TABLE keys ON COMMIT DROP AS
        SELECT account FROM bank.payment WHERE _tidemark_batch IN (SELECT batch FROM batches)
        UNION SELECT (old->>'account')::bigint FROM tidemark.touch WHERE batch IN (SELECT batch FROM batches) AND old IS NOT NULL
        UNION SELECT account FROM (SELECT account FROM bank.payment UNION SELECT account FROM totals) a WHERE EXISTS (SELECT FROM tidemark.touch WHERE batch IN (SELECT batch FROM batches) AND old IS NULL);
      DELETE FROM totals WHERE account IN (SELECT account FROM keys);
      INSERT INTO totals SELECT account, sum(amount) FROM bank.payment WHERE account IN (SELECT account FROM keys) GROUP BY account;
      SELECT tidemark.consumed('totals', array(SELECT batch FROM batches));
      COMMIT`);
  const differs = () => target.value('SELECT count(*) FROM (SELECT account, sum(amount) AS amount FROM bank.payment GROUP BY account) p FULL JOIN totals t USING (account, amount) WHERE p.account IS NULL OR t.account IS NULL');

  beforeAll(async () => {
    [source, target] = [await createDatabase('bank'), await createDatabase('target')];
    await source.query(`CREATE TABLE payment (id int PRIMARY KEY, account bigint, amount numeric, nida text, gone text DEFAULT 'N', changed timestamptz NOT NULL DEFAULT clock_timestamp());
      CREATE TABLE quiet (id int PRIMARY KEY, account bigint, changed timestamptz NOT NULL DEFAULT clock_timestamp()); INSERT INTO quiet SELECT g, g FROM generate_series(1, 3) g;
      INSERT INTO payment (id, account, amount, nida) SELECT g, 9007199254740990 + g % 10, g, 'CLEAR' || g FROM generate_series(1, 200) g`);
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url, KEY_K: KEY });
    await tidemark.apply();
    await tidemark.syncAll();
    await target.query('CREATE TABLE totals (account bigint PRIMARY KEY, amount numeric)');
    await refresh();
  });

  test('the first build marks everything as touched, and a stream that does not ask for it nothing', async () => {
    expect(await touched()).toEqual(['all']);
    expect(await target.value("SELECT count(*) FROM tidemark.touch WHERE stream = 'quiet'")).toBe('0');
    expect(await differs()).toBe('0');
  });

  test('rows that move leave their old account, exactly and once each; new and unchanged rows leave nothing', async () => {
    await source.query(`UPDATE payment SET account = 9007199254740999, changed = clock_timestamp() WHERE id IN (1, 11, 2);
      INSERT INTO payment (id, account, amount) VALUES (500, 7, 7); UPDATE payment SET changed = changed WHERE id = 5`);
    await sync();
    expect(new Set(await touched())).toEqual(new Set(['9007199254740991', '9007199254740992']));
    await refresh();
    expect(await differs()).toBe('0');
    expect(await target.value("SELECT count(*) FROM tidemark.touch WHERE old::text LIKE '%CLEAR%'")).toBe('0');
    expect(await target.value("SELECT count(*) FROM tidemark.touch WHERE old->>'nida' LIKE 'h1.%'")).not.toBe('0');
  });

  test('deleted rows leave theirs', async () => {
    tidemark.configure(configuration(source, ', deletes: { detect: tombstone, column: gone, is: "Y", apply: hard }'));
    await tidemark.apply();
    await source.query("UPDATE payment SET gone = 'Y', changed = clock_timestamp() WHERE id = 3");
    await sync();
    expect(await touched()).toContain('9007199254740993');
    await refresh();
    expect(await differs()).toBe('0');
  });

  test('a full refresh that changed something marks everything, one that did not nothing', async () => {
    await sync('--full');
    const before = await target.value('SELECT count(*) FROM tidemark.touch');
    await source.query('UPDATE payment SET account = 8 WHERE id = 4');
    await sync('--full');
    expect(await touched()).toEqual(['all']);
    expect(Number(await target.value('SELECT count(*) FROM tidemark.touch'))).toBe(Number(before) + 1);
    await refresh();
    expect(await differs()).toBe('0');
  });

  test('a column that the target does not have is named, and nothing is loaded', async () => {
    tidemark.configure(configuration(source).replace('[account, nida]', '[acount]'));
    const { problems } = (await tidemark.must('plan', '--json')) as unknown as { problems: { code: string; message: string; hint: string }[] };
    expect(problems).toMatchObject([{ code: 'source.column_missing', message: expect.stringContaining('touch_log'), hint: expect.stringContaining('account') }]);
  });
});
