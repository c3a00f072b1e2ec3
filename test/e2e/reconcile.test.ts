/** Differences between a source and its target are found, named and repaired; equal tables cost little. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark } from '../support/tidemark.ts';

interface Line {
  readonly stream: string;
  readonly sourceRows: number;
  readonly targetRows: number;
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  readonly repaired: number;
  readonly way: string;
}

const COLUMNS = `id bigint, part text, amount numeric(12,2), ratio double precision, at timestamptz NOT NULL DEFAULT now(), day date, ok boolean, note text, doc jsonb, raw bytea, tags int[], PRIMARY KEY (id, part)`;
const ROWS = `SELECT n, 'p' || n % 3, n * 1.25, n / 7.0, now(), date '2024-01-01' + n % 300, n % 2 = 0, CASE WHEN n % 5 = 0 THEN NULL ELSE 'note, "' || n || '" \\x ü' END,
  jsonb_build_object('n', n), decode(lpad(to_hex(n), 8, '0'), 'hex'), ARRAY[n, NULL] FROM generate_series(1, 5000) n`;

describeWith({ postgres: true, temporal: true }, 'reconcile', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const reconcile = async (...args: string[]) => {
    const { code, json, stdout, stderr } = await tidemark.run('reconcile', 'bank', ...args, '--json');
    const streams = json?.streams as unknown as readonly Line[] | undefined;
    if (streams === undefined) throw new Error(`${stdout}\n${stderr}\n${tidemark.workerTails()}`);
    return { code, ok: json?.ok, streams, line: streams[0]! };
  };
  const named = async (kind: string) => (await target.query(`SELECT key->>'id' AS id FROM tidemark.difference WHERE kind = $1 AND settled_at IS NOT NULL ORDER BY (key->>'id')::bigint`, [kind])).map(({ id }) => id);

  beforeAll(async () => {
    [source, target] = [await createDatabase('bank'), await createDatabase('target')];
    await source.query(`CREATE TABLE account (${COLUMNS}); INSERT INTO account ${ROWS}; CREATE INDEX ON account (at);
      CREATE TABLE event (what text, n int); INSERT INTO event SELECT 'e' || n % 10, n % 100 FROM generate_series(1, 1000) n`);
    const file = `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - id: bank\n    kind: postgres\n    connection: ${source.connection}\n    streams: [{ table: account, cursor: at }, event]\n`;
    tidemark = await Tidemark.start(file, { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.must('sync', 'bank', '--json');
  });

  test('equal tables are equal, with one line for each stream', async () => {
    const { code, ok, streams } = await reconcile();
    expect({ code, ok }).toEqual({ code: 0, ok: true });
    expect(streams).toMatchObject([
      { source: 'bank', stream: 'account', sourceRows: 5000, targetRows: 5000, missing: 0, extra: 0, different: 0, way: 'digest' },
      { source: 'bank', stream: 'event', sourceRows: 1000, targetRows: 1000, missing: 0, extra: 0, different: 0 },
    ]);
  });

  test('a lost, an extra and a changed row are named, and only they; nothing is written', async () => {
    await target.query(`DELETE FROM bank.account WHERE id IN (7, 4242); UPDATE bank.account SET note = 'tampered' WHERE id = 99; UPDATE bank.account SET raw = NULL WHERE id = 100;
      INSERT INTO bank.account (id, part, at) VALUES (900001, 'x', '2020-01-01Z')`);
    const before = await target.value('SELECT count(*) FROM tidemark.ledger');
    const { code, ok, line } = await reconcile('account');
    expect({ code, ok, line }).toMatchObject({ code: 1, ok: false, line: { sourceRows: 5000, targetRows: 4999, missing: 2, extra: 1, different: 2 } });
    expect([await named('missing'), await named('extra'), await named('different')]).toEqual([['7', '4242'], ['900001'], ['99', '100']]);
    expect(await target.value('SELECT count(*) FROM tidemark.ledger')).toBe(before);
  });

  test('a repair copies just those, with a ledger row whose equation holds', async () => {
    const { code, ok, line } = await reconcile('account', '--repair');
    expect({ code, ok, line }).toMatchObject({ code: 0, ok: true, line: { missing: 2, extra: 1, different: 2, repaired: 5 } });
    const [ledger] = await target.query("SELECT read, written, unchanged, deleted FROM tidemark.ledger WHERE kind = 'repair'");
    expect(ledger).toEqual({ read: '5', written: '4', unchanged: '0', deleted: '1' });
    expect(await target.value('SELECT count(*) FROM tidemark.difference')).toBe('0');
    expect(await reconcile('account')).toMatchObject({ code: 0, line: { sourceRows: 5000, targetRows: 5000, missing: 0, extra: 0, different: 0 } });
    expect(await target.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'tidemark_stage'")).toBe('1');
  });

  test('what no cursor sees is found: a deleted row and a moved key', async () => {
    await source.query(`DELETE FROM account WHERE id = 11; UPDATE account SET id = 800012 WHERE id = 12`);
    await tidemark.must('sync', 'bank', '--stream', 'account', '--json');
    expect(await reconcile('account')).toMatchObject({ code: 1, line: { extra: 2 } });
    expect(await named('extra')).toEqual(['11', '12']);
    expect(await reconcile('account', '--repair')).toMatchObject({ code: 0 });
  });

  test('rows on their way are no differences', async () => {
    await source.query(`INSERT INTO account (id, part) VALUES (700001, 'new'); UPDATE account SET note = 'newer', at = now() WHERE id = 500`);
    expect(await reconcile('account')).toMatchObject({ code: 0, line: { missing: 0, extra: 0, different: 0 } });
    expect(await target.value("SELECT note FROM bank.account WHERE id = 500")).toBe('newer');
  });

  test('rows without a key are counted as a multiset', async () => {
    await target.query(`DELETE FROM bank.event WHERE ctid = (SELECT min(ctid) FROM bank.event); INSERT INTO bank.event (what, n) SELECT 'x', 1 FROM generate_series(1, 2)`);
    expect(await reconcile('event')).toMatchObject({ code: 1, line: { sourceRows: 1000, targetRows: 1001, missing: 1, extra: 2 } });
  });

  test('the comparison stands in the history, and no key outside the destination', async () => {
    const { runs } = await tidemark.must('runs', 'bank', '--json');
    const results = await target.query("SELECT run_id FROM tidemark.reconciliation");
    expect(results.every(({ run_id }) => runs?.some(({ runId, status }) => runId === run_id && status === 'completed'))).toBe(true);
    for (const [, text] of tidemark.printed()) expect(text).not.toMatch(/900001|800012/);
  });

  test('a stream that is not there is a wrong input', async () => {
    const { code, json } = await tidemark.run('reconcile', 'bank', 'nothing', '--json');
    expect({ code, error: json?.error?.code }).toEqual({ code: 2, error: 'usage.unknown_stream' });
  });
});
