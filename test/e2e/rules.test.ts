/** Rules and transforms from end to end: what each kind and each choice does to a row, at a first load and at a change; the equation; types of new columns. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';

const RULES = `
          - { column: name, check: not_null }
          - { column: kind, check: { in: [a, b, "it's"] } }
          - { column: amount, check: { range: { min: 0, max: 1000 } } }
          - { column: code, check: { matches: "^[A-Z]{2}\\\\d+$" } }
          - { column: country, check: { references: { table: ref.country, column: code } } }
          - { column: email, check: unique }
          - { check: "amount < limit_of or kind = 'b'" }
          - { column: note, check: "length(note) < 5", otherwise: "null" }
          - { column: secret, check: "secret is null", otherwise: reject }
          - { check: "100 / divisor > 0" }`;

const configuration = (source: PostgresDatabase, rules = RULES) => `
destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d, bad_rows_max: 1.0 }
sources:
  - id: bank
    kind: postgres
    connection: ${source.connection}
    streams:
      - table: item
        cursor: changed
        rules:${rules}
      - table: made
        cursor: changed
        transform: { total: "round(amount / divisor, 2)", label: "upper(label) || ' €'", code: "left(code, 2) || code" }
`;

const COLUMNS = 'id, name, kind, amount, code, country, email, limit_of, note, secret, divisor, tags';
const GOOD = "'n', 'a', 10, 'AB1', 'TZ', NULL, 100, 'ok', NULL, 1, '{1,2}'";
const row = (id: number, changes: Record<string, string>) => `(${[String(id), ...COLUMNS.split(', ').slice(1).map((name, at) => changes[name] ?? GOOD.split(/, (?![^{]*\})/)[at])].join(', ')})`;

/** Id → what becomes of the row: the codes it is quarantined with, or null for a good one. */
const ROWS: readonly (readonly [number, Record<string, string>, readonly string[] | null])[] = [
  [1, { email: "'same'" }, null],
  [2, { name: 'NULL' }, ['not_null']],
  [3, { kind: "'z'" }, ['in']],
  [4, { kind: "'it''s'" }, null],
  [5, { amount: '-1' }, ['range']],
  [6, { amount: '1001' }, ['range', 'sql']],
  [7, { code: "'ab1'" }, ['matches']],
  [8, { country: "'XX'" }, ['references']],
  [9, { email: "'same'" }, ['unique']],
  [10, { amount: '500' }, ['sql']],
  [11, { amount: '500', kind: "'b'" }, null],
  [12, { note: "'too long'" }, null],
  [13, { secret: "'x'" }, ['not_null_secret']],
  [14, { divisor: '0' }, ['sql_failed']],
  [15, { limit_of: 'NULL' }, null],
];

describeWith({ postgres: true, temporal: true }, 'rules and transforms', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  beforeAll(async () => {
    [source, target] = [await createDatabase('bank'), await createDatabase('target')];
    await source.query(`
      CREATE TABLE item (id int PRIMARY KEY, name text, kind text, amount numeric(12,2), code varchar(10), country char(2), email text, limit_of int, note text, secret text, divisor int, tags int[], changed timestamptz NOT NULL DEFAULT now());
      CREATE TABLE made (id int PRIMARY KEY, amount numeric(12,2), divisor int, label varchar(8), code varchar(8), changed timestamptz NOT NULL DEFAULT now());
      INSERT INTO item (${COLUMNS}) VALUES ${ROWS.map(([id, changes]) => row(id, changes)).join(', ')};
      INSERT INTO made VALUES (1, 10, 3, 'abc', 'x', DEFAULT), (2, 10, 0, 'abc', 'x', DEFAULT), (3, 1, 1, 'toolong', 'x', DEFAULT), (4, 1, 1, 'abc', 'xyz12345', DEFAULT), (5, NULL, 1, NULL, NULL, DEFAULT)`);
    await target.query("CREATE SCHEMA ref; CREATE TABLE ref.country (code char(2)); INSERT INTO ref.country VALUES ('TZ'), ('MU')");
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
  });

  const waiting = () => target.query("SELECT \"row\"->>'id' AS id, (SELECT string_agg(r->>'code', ',' ORDER BY r->>'code') FROM jsonb_array_elements(reasons) r) AS codes FROM tidemark.quarantine WHERE stream = 'item' AND replayed_at IS NULL ORDER BY (\"row\"->>'id')::int");
  const expected = ROWS.filter(([, , codes]) => codes !== null).map(([id, , codes]) => ({ id: String(id), codes: codes!.map((code) => (code === 'not_null_secret' ? 'sql' : code)).join(',') }));

  test('a first load: good rows arrive, each bad one waits with its reasons, the equation holds', async () => {
    const item = streamOf(await tidemark.syncAll('--stream', 'item'), 'item');
    expect(item).toMatchObject({ status: 'completed', read: 15, written: 15 - expected.length, rejected: expected.length, unchanged: 0 });
    expect(await waiting()).toEqual(expected);
    expect(await target.query('SELECT id FROM bank.item ORDER BY id')).toEqual(ROWS.filter(([, , codes]) => codes === null).map(([id]) => ({ id: String(id) })));
    expect(await target.value('SELECT note FROM bank.item WHERE id = 12')).toBeNull();
    expect(await target.value('SELECT count(*) FROM tidemark.ledger WHERE read <> written + unchanged + rejected + superseded + deleted')).toBe('0');
  });

  test('what waits tells the version of the rule and exact values; a rejected row leaves only its key', async () => {
    const [values] = await target.query("SELECT reasons->0->>'rule' AS rule, \"row\"->>'tags' AS tags, \"row\"->>'amount' AS amount FROM tidemark.quarantine WHERE stream = 'item' AND \"row\"->>'id' = '5'");
    expect(values).toEqual({ rule: expect.stringMatching(/^[0-9a-f]{12}$/), tags: '{1,2}', amount: '-1.00' });
    expect(await target.value("SELECT \"row\" FROM tidemark.quarantine WHERE stream = 'item' AND \"row\"->>'id' = '13'")).toBe('{"id": "13"}');
  });

  test('changes: the same rules, against the rows that are there, and nothing twice', async () => {
    await source.query(`UPDATE item SET changed = clock_timestamp(); INSERT INTO item (${COLUMNS}) VALUES ${row(20, { email: "'same'" })}, ${row(21, { email: "'other'" })}`);
    const item = streamOf(await tidemark.syncAll('--stream', 'item'), 'item');
    expect(item).toMatchObject({ status: 'completed', read: 17, rejected: expected.length + 1 });
    expect(await target.value("SELECT count(*) FROM bank.item WHERE email = 'same'")).toBe('1');
    expect(await target.value('SELECT count(*) FROM bank.item')).toBe('6');
    // Values moved on (the cursor column changed), so each waits once as it was and once as it is.
    expect((await waiting()).filter(({ id }) => id === '5')).toHaveLength(2);
    expect(streamOf(await tidemark.syncAll('--stream', 'item'), 'item')).toMatchObject({ written: 0 });
  });

  test('transforms: a new column gets its type, a row whose expression fails waits, its neighbours arrive', async () => {
    const made = streamOf(await tidemark.syncAll('--stream', 'made'), 'made');
    expect(made).toMatchObject({ status: 'completed', read: 5, written: 2, rejected: 3 });
    expect(await target.query('SELECT id, total, label, code FROM bank.made ORDER BY id')).toEqual([
      { id: '1', total: '3.33', label: 'ABC €', code: 'xx' },
      { id: '5', total: null, label: null, code: null },
    ]);
    expect(await target.query("SELECT \"row\"->>'id' AS id, reasons->0->>'code' AS code, reasons->0->>'column' AS col FROM tidemark.quarantine WHERE stream = 'made' ORDER BY 1")).toEqual([
      { id: '2', code: 'transform', col: 'total' },
      { id: '3', code: 'transform', col: 'label' },
      { id: '4', code: 'transform', col: 'code' },
    ]);
    expect(await target.value("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'bank.made'::regclass AND attname = 'total'")).toBe('numeric');
  });

  test('stop: nothing of the batch is loaded, the stream parks and says which rule', async () => {
    tidemark.configure(configuration(source, '\n          - { column: amount, check: "amount < 5000", otherwise: stop }'));
    await tidemark.apply();
    await source.query("INSERT INTO item (id, amount) VALUES (30, 9999)");
    const { code, json } = await tidemark.run('sync', 'bank', '--stream', 'item', '--json');
    expect(code).toBe(1);
    expect(streamOf(json?.streams, 'item')).toMatchObject({ status: 'parked', written: 0, error: { code: 'batch.rule_broken', message: expect.stringMatching(/^1 rows break the rule on amount/) } });
    expect(await target.value('SELECT count(*) FROM bank.item WHERE id = 30')).toBe('0');
  });

  test.each([
    ['an unknown column', '\n          - { check: "nonsense > 1" }', /nonsense/],
    ['an aggregate', '\n          - { check: "sum(amount) > 1" }', /aggregate/],
    ['two statements', '\n          - { check: "true) ; drop table bank.item; select (true" }', /multiple|syntax/],
    ['a value that is none', '\n          - { column: amount, check: { in: [abc] } }', /numeric/],
  ])('%s in a rule is refused before a row is read', async (_, rules, message) => {
    tidemark.configure(configuration(source, rules));
    await tidemark.apply().catch(() => undefined);
    const { json } = await tidemark.run('sync', 'bank', '--stream', 'item', '--json');
    expect(streamOf(json?.streams, 'item')).toMatchObject({ status: 'parked', read: 0, error: { code: 'config.invalid', message: expect.stringMatching(message) } });
    expect(await target.value("SELECT to_regclass('bank.item') IS NOT NULL")).toBe('t');
  });
});
