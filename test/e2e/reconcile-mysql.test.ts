/** MySQL's rows and PostgreSQL's hash to the same sums, computed inside both; what no canonical text fits is compared through the extract. */
import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark } from '../support/tidemark.ts';

const COLUMNS = `code varchar(20) COLLATE utf8mb4_unicode_ci, n bigint unsigned, z int(8) unsigned zerofill, d decimal(30,10), d0 decimal(10,0), y year, on_day date, at datetime(3), ts timestamp(6) NOT NULL DEFAULT current_timestamp(6),
  c char(10), e enum('one','two, ü'), s set('a','b'), latin varchar(30) CHARACTER SET latin1, body longtext, raw varbinary(50), fixed binary(4), big longblob, PRIMARY KEY (code, n)`;
const VALUES = `('Ä,1', 18446744073709551615, 42, '-12345678901234567890.1234500000', -7, 2024, '0001-01-01', '9999-12-31 23:59:59.999', '2024-03-31 01:30:00.000001', 'pad  ', 'two, ü', 'a,b', 'café', 'a\\\\b\\n"', x'00ff0a', x'01', REPEAT('x', 70000)),
  ('b', 0, 0, '0', 0, NULL, NULL, NULL, '2024-01-01', '', 'one', '', '', '', '', x'00000000', ''),
  ('c', 1, NULL, '-0.5', 100, 1901, '2024-02-29', '2024-01-01 00:00:00.1', '2024-01-01 10:00:00.5', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ('d', 100, 7, '100', 7, 2000, '2024-12-31', '2024-01-01', '2024-01-01 10:00:00', ',', 'one', 'b', ',,', '-1,', x'2c', x'2c2c2c2c', ',')`;

interface Line {
  readonly stream: string;
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  readonly way: string;
}

describeWith({ postgres: true, mariadb: true, temporal: true }, 'reconcile of MySQL', () => {
  let source: MariadbDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const reconcile = async (...args: string[]) => {
    const { code, json, stdout, stderr } = await tidemark.run('reconcile', 'shop', ...args, '--json');
    const streams = json?.streams as unknown as readonly Line[] | undefined;
    if (streams === undefined) throw new Error(`${stdout}\n${stderr}\n${tidemark.workerTails()}`);
    return { code, streams, line: streams[0]! };
  };

  beforeAll(async () => {
    [source, target] = [await createMariadb('shop'), await createDatabase('target')];
    await source.query(`CREATE TABLE item (${COLUMNS})`);
    await source.query(`INSERT INTO item VALUES ${VALUES}`);
    await source.query('INSERT INTO item (code, n, d, body, at) SELECT CONCAT(\'k\', seq), seq, seq / 8, CONCAT(\'text, \', seq), \'2024-01-01\' + INTERVAL seq SECOND FROM seq_1_to_3000');
    await source.query("CREATE TABLE reading (id int PRIMARY KEY, value double, doc json); INSERT INTO reading SELECT seq, seq / 7, CONCAT('{\"b\": ', seq, ', \"a\": 1}') FROM seq_1_to_500");
    const file = `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - id: shop\n    kind: mysql\n    connection: ${source.connection}\n    streams: [{ table: item, cursor: ts }, reading]\n`;
    tidemark = await Tidemark.start(file, { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.must('sync', 'shop', '--json');
  });

  test('every form agrees', async () => {
    const { code, streams } = await reconcile();
    expect({ code, streams }).toMatchObject({
      code: 0,
      streams: [
        { stream: 'item', sourceRows: 3004, targetRows: 3004, missing: 0, extra: 0, different: 0, way: 'digest' },
        { stream: 'reading', sourceRows: 500, targetRows: 500, missing: 0, extra: 0, different: 0, way: 'extract' },
      ],
    });
  });

  test('each column is compared: one change in any of them is found', async () => {
    const changes: Record<string, string> = {
      z: '43', d: '-12345678901234567890.1234500001', d0: '-8', y: '2023', on_day: "'0001-01-02'", at: "at + interval '1 millisecond'", ts: "ts - interval '1 microsecond'", c: "'pad.'", e: "'one'", s: "'a'",
      latin: "'cafe'", body: "body || ' '", raw: "'\\x00ff0b'", fixed: "'\\x02000000'", big: 'substr(big, 2)',
    };
    for (const [column, value] of Object.entries(changes)) {
      await target.query(`CREATE TABLE kept AS SELECT * FROM shop.item WHERE code = 'Ä,1'; UPDATE shop.item SET ${column} = ${value} WHERE code = 'Ä,1'`);
      const { rows } = { rows: await target.query(`SELECT 1 FROM shop.item i, kept k WHERE i.code = k.code AND i.${column} IS DISTINCT FROM k.${column}`) };
      expect({ column, changed: rows.length }).toEqual({ column, changed: 1 });
      const before = await reconcile('item');
      expect({ column, line: before.line }).toMatchObject({ column, line: { different: 1, missing: 0, extra: 0 } });
      await target.query(`DELETE FROM shop.item WHERE code = 'Ä,1'; INSERT INTO shop.item SELECT * FROM kept; DROP TABLE kept`);
    }
  });

  test('missing, extra and different rows are named and repaired', async () => {
    await target.query(`DELETE FROM shop.item WHERE code IN ('Ä,1', 'k7'); UPDATE shop.item SET body = 'x' WHERE code = 'b'; INSERT INTO shop.item (code, n, ts) VALUES ('none', 3, '2020-01-01Z');
      DELETE FROM shop.reading WHERE id = 5; UPDATE shop.reading SET value = 0 WHERE id = 6`);
    const { code, streams } = await reconcile();
    expect({ code, streams }).toMatchObject({ code: 1, streams: [{ missing: 2, extra: 1, different: 1 }, { missing: 1, extra: 0, different: 1 }] });
    expect(await reconcile('--repair')).toMatchObject({ code: 0, streams: [{ repaired: 4 }, { repaired: 2 }] });
    expect(await reconcile()).toMatchObject({ code: 0 });
  });
});
