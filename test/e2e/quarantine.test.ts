/** What waits in quarantine, and its replay after a fix: of rules, of types that the source refused, of masked streams; newer rows stay. */
import { randomBytes } from 'node:crypto';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';

const KEY = randomBytes(32).toString('base64');
const configuration = (source: PostgresDatabase, rule = 'amount >= 0', more = '') => `
destination: { url: "\${DESTINATION_URL}" }
keys: { k: { env: KEY_K } }
defaults: { poll_interval: 365d, bad_rows_max: 1.0 }
sources:
  - id: bank
    kind: postgres
    connection: ${source.connection}
    streams:
      - { table: item, cursor: changed, mask: { nida: { hmac: k } }, rules: [{ check: "${rule}" }, { column: kind, check: not_null, otherwise: reject }]${more} }
      - { table: keyless, mode: replace, rules: [{ column: v, check: not_null }] }
`;

type Waiting = { readonly waiting: number; readonly rows: readonly Readonly<Record<string, unknown>>[] };

describeWith({ postgres: true, temporal: true }, 'quarantine', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const waiting = async (command = 'list') => (await tidemark.must('quarantine', command, 'bank', 'item', '--json')) as unknown as Waiting;
  const replay = async (stream = 'item') => (await tidemark.run('quarantine', 'replay', 'bank', stream, '--json')) as unknown as { code: number; json: Record<string, unknown> };

  beforeAll(async () => {
    [source, target] = [await createDatabase('bank'), await createDatabase('target')];
    await source.query(`CREATE TABLE item (id int PRIMARY KEY, amount numeric, kind text, nida text, tags int[], body json, changed timestamptz NOT NULL DEFAULT clock_timestamp());
      CREATE TABLE keyless (v text);
      INSERT INTO keyless VALUES ('a'), (NULL);
      INSERT INTO item SELECT n, CASE WHEN n <= 3 THEN -n - 0.10 ELSE n END, 'k', 'CLEAR' || n, ARRAY[n, NULL], '{"b": 1,  "a": 2}' FROM generate_series(1, 10) n;
      INSERT INTO item (id, amount, nida) VALUES (11, 1, 'CLEAR11')`);
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url, KEY_K: KEY });
    await tidemark.apply();
    expect(streamOf(await tidemark.syncAll(), 'item')).toMatchObject({ read: 11, written: 7, rejected: 4 });
  });

  test('list tells reasons and versions without values, show the values as they were masked', async () => {
    const listed = await waiting();
    expect(listed).toMatchObject({ waiting: 4 });
    expect(listed.rows[0]).not.toHaveProperty('row');
    expect(listed.rows.find(({ replayable }) => replayable === false)).toMatchObject({ reasons: [{ column: 'kind', code: 'not_null' }] });
    const shown = await waiting('show');
    const three = shown.rows.find(({ row }) => (row as { id: string }).id === '3');
    expect(three).toMatchObject({ reasons: [{ code: 'sql', rule: expect.stringMatching(/^[0-9a-f]{12}$/) }], row: { amount: '-3.10', nida: expect.stringMatching(/^h1\./), tags: '{3,NULL}' } });
    expect(JSON.stringify(shown)).not.toContain('CLEAR');
  });

  test('replayed under the same rules nothing changes but the ledger', async () => {
    expect(await replay()).toMatchObject({ code: 1, json: { ok: false, read: 3, written: 0, rejected: 3, waiting: 4 } });
    expect(await target.value('SELECT count(*) FROM bank.item')).toBe('7');
  });

  test('after a fix of the rule the rows arrive exactly; a newer row of the target stays', async () => {
    await source.query("UPDATE item SET amount = 77, changed = clock_timestamp() WHERE id = 1");
    await tidemark.syncAll('--stream', 'item');
    tidemark.configure(configuration(source, 'amount > -3'));
    await tidemark.apply();
    const { code, json } = await replay();
    expect({ code, json }).toMatchObject({ code: 1, json: { read: 3, written: 1, superseded: 1, rejected: 1, unchanged: 0, waiting: 2 } });
    expect(await target.query('SELECT id, amount, tags, body FROM bank.item WHERE id <= 3 ORDER BY id')).toEqual([
      { id: '1', amount: '77', tags: '{1,NULL}', body: '{"b": 1,  "a": 2}' },
      { id: '2', amount: '-2.10', tags: '{2,NULL}', body: '{"b": 1,  "a": 2}' },
    ]);
    expect(await target.query("SELECT kind, read, written, superseded, rejected FROM tidemark.ledger WHERE kind = 'replay' ORDER BY batch DESC LIMIT 1")).toEqual([{ kind: 'replay', read: '3', written: '1', superseded: '1', rejected: '1' }]);
    expect(await target.value('SELECT count(*) FROM bank.item i JOIN tidemark.ledger l ON l.batch = i._tidemark_batch')).toBe('9');
    expect(await target.query('SELECT outcome, count(*) AS n FROM tidemark.quarantine WHERE replayed_at IS NOT NULL GROUP BY outcome ORDER BY outcome')).toEqual([{ outcome: 'loaded', n: '1' }, { outcome: 'superseded', n: '1' }]);
  });

  test('a replayed row is overwritten by what the source has later', async () => {
    await source.query('UPDATE item SET amount = 5, changed = clock_timestamp() WHERE id = 2');
    expect(streamOf(await tidemark.syncAll('--stream', 'item'), 'item')).toMatchObject({ written: 1 });
    expect(await target.value('SELECT amount FROM bank.item WHERE id = 2')).toBe('5');
  });

  test('a full build reads all again: what it loads waits no longer, and a replay brings no row twice', async () => {
    tidemark.configure(configuration(source, 'amount > -100'));
    await tidemark.apply();
    await tidemark.syncAll('--stream', 'item', '--full');
    expect(await target.value('SELECT count(*) FROM bank.item')).toBe('10');
    expect(await waiting()).toMatchObject({ waiting: 1 });
    expect(await replay()).toMatchObject({ code: 0, json: { batch: null, read: 0, waiting: 1 } });
    await source.query("UPDATE keyless SET v = 'b' WHERE v IS NULL");
    await tidemark.syncAll('--stream', 'keyless');
    expect(await replay('keyless')).toMatchObject({ json: { read: 0, waiting: 0 } });
    expect(await target.value('SELECT count(*) FROM bank.keyless')).toBe('2');
  });

  test('an unknown stream is an error of usage', async () => {
    expect(await tidemark.run('quarantine', 'list', 'bank', 'nothing', '--json')).toMatchObject({ code: 2, json: { error: { code: 'usage.unknown_stream' } } });
  });
});
