/**
 * What a target lacks or has otherwise on purpose is no difference: rows that wait in quarantine, masked and transformed columns, columns that a rule empties.
 * What is lost beside them is named, and only that.
 */
import { randomBytes } from 'node:crypto';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';

interface Line {
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  readonly quarantined: number;
  readonly way: string;
  readonly notCompared: readonly string[];
  readonly notes: readonly string[];
}

const NONE = { missing: 0, extra: 0, different: 0 };

describeWith({ postgres: true, mariadb: true, temporal: true }, 'reconcile and what is known', () => {
  let bank: PostgresDatabase;
  let shop: MariadbDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const reconcile = async (source: string, stream: string) => {
    const { code, json, stdout, stderr } = await tidemark.run('reconcile', source, stream, '--json');
    const line = (json?.streams as unknown as readonly Line[] | undefined)?.[0];
    if (line === undefined) throw new Error(`${stdout}\n${stderr}\n${tidemark.workerTails()}`);
    return { code, line };
  };
  const named = (source: string) => target.query("SELECT kind, key->>'id' AS id FROM tidemark.difference WHERE source = $1 ORDER BY 1, 2", [source]);

  beforeAll(async () => {
    [bank, shop, target] = [await createDatabase('bank'), await createMariadb('shop'), await createDatabase('target')];
    await bank.query(`CREATE TABLE item (id int PRIMARY KEY, amount int, kind text, changed timestamptz NOT NULL DEFAULT clock_timestamp());
      INSERT INTO item SELECT n, CASE WHEN n % 10 = 0 THEN -n ELSE n END, CASE WHEN n % 25 = 3 THEN NULL ELSE 'k' END FROM generate_series(1, 500) n;
      CREATE TABLE person (id int PRIMARY KEY, nida text, pin text, born date, age int, mail text, city text, changed timestamptz NOT NULL DEFAULT clock_timestamp());
      INSERT INTO person SELECT n, 'n' || n, 'p', '1990-01-01', n, CASE WHEN n % 2 = 0 THEN 'bad' ELSE 'a@b' END, 'c' || n FROM generate_series(1, 200) n`);
    await shop.query("CREATE TABLE item (id int PRIMARY KEY, v varchar(40), amount int, changed datetime(6) NOT NULL DEFAULT current_timestamp(6))");
    await shop.query("INSERT INTO item (id, v, amount) SELECT seq, IF(seq % 100 = 0, 'no \\0 text', 'fine'), IF(seq % 50 = 1, -1, seq) FROM seq_1_to_1000");
    const file = `destination: { url: "\${DESTINATION_URL}" }\nkeys: { k: { env: KEY_K } }\ndefaults: { poll_interval: 365d, bad_rows_max: 1.0 }\nsources:
  - id: bank\n    kind: postgres\n    connection: ${bank.connection}\n    streams:
      - { table: item, cursor: changed, rules: [{ check: "amount >= 0" }, { column: kind, check: not_null, otherwise: reject }] }
      - { table: person, cursor: changed, mask: { nida: { hmac: k }, pin: drop, born: date_year }, transform: { age: "age + 1" }, rules: [{ column: mail, check: { matches: "@" }, otherwise: "null" }] }
  - id: shop\n    kind: mariadb\n    connection: ${shop.connection}\n    streams: [{ table: item, cursor: changed, rules: [{ check: "amount >= 0" }] }]\n`;
    tidemark = await Tidemark.start(file, { ...bank.secrets, ...shop.secrets, DESTINATION_URL: target.url, KEY_K: randomBytes(32).toString('base64') });
    await tidemark.apply();
    await tidemark.syncAll();
    expect(await target.query('SELECT source, count(*) AS n FROM tidemark.quarantine WHERE replayed_at IS NULL GROUP BY source ORDER BY source')).toEqual([{ source: 'bank', n: '70' }, { source: 'shop', n: '30' }]);
  });

  test('rows that a rule or a type rejected are not missing', async () => {
    expect(await reconcile('bank', 'item')).toMatchObject({ code: 0, line: { ...NONE, quarantined: 70, way: 'digest', notes: [expect.stringContaining('70 rejected rows wait in quarantine')] } });
    expect(await reconcile('shop', 'item')).toMatchObject({ code: 0, line: { ...NONE, quarantined: 30, way: 'digest' } });
  });

  test('nor is a row different whose newest version was rejected', async () => {
    await bank.query('UPDATE item SET amount = -7, changed = clock_timestamp() WHERE id = 7');
    await shop.query("UPDATE item SET v = 'now \\0 bad', changed = current_timestamp(6) WHERE id = 7");
    await tidemark.syncAll();
    expect(await reconcile('bank', 'item')).toMatchObject({ code: 0, line: { ...NONE, quarantined: 71 } });
    expect(await reconcile('shop', 'item')).toMatchObject({ code: 0, line: { ...NONE, quarantined: 31 } });
  });

  test('what is lost, extra or changed beside them is named, and only that', async () => {
    await target.query('DELETE FROM bank.item WHERE id = 8; UPDATE bank.item SET amount = 0 WHERE id = 9; INSERT INTO bank.item (id, changed) VALUES (9001, now())');
    await target.query('DELETE FROM shop.item WHERE id = 8; UPDATE shop.item SET amount = 0 WHERE id = 9; INSERT INTO shop.item (id, changed) VALUES (9001, now())');
    for (const source of ['bank', 'shop']) {
      expect(await reconcile(source, 'item')).toMatchObject({ code: 1, line: { missing: 1, extra: 1, different: 1 } });
      expect(await named(source)).toEqual([{ kind: 'different', id: '9' }, { kind: 'extra', id: '9001' }, { kind: 'missing', id: '8' }]);
    }
  });

  test('a row that was mended and arrived is compared again', async () => {
    await bank.query('UPDATE item SET amount = 70, changed = clock_timestamp() WHERE id = 7');
    await tidemark.syncAll('--stream', 'item');
    await target.query('UPDATE bank.item SET amount = 71 WHERE id = 7');
    await reconcile('bank', 'item');
    expect(await named('bank')).toContainEqual({ kind: 'different', id: '7' });
  });

  test('masked, transformed and emptied columns are listed as not compared; the others are', async () => {
    expect(streamOf(await tidemark.syncAll('--stream', 'person'), 'person')).toMatchObject({ status: 'completed' });
    const { code, line } = await reconcile('bank', 'person');
    expect({ code, line }).toMatchObject({ code: 0, line: { ...NONE, notes: ['not compared: nida, born, age, mail'] } });
    await target.query("UPDATE bank.person SET nida = 'x', mail = 'y', age = 0 WHERE id = 3; UPDATE bank.person SET city = 'elsewhere' WHERE id = 4");
    expect(await reconcile('bank', 'person')).toMatchObject({ code: 1, line: { ...NONE, different: 1 } });
    expect(await target.query("SELECT key->>'id' AS id FROM tidemark.difference WHERE stream = 'person'")).toEqual([{ id: '4' }]);
  });
});
