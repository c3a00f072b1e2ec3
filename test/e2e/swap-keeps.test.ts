/** A full refresh exchanges a target's rows; what people have hung on the target must still be there afterwards. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark } from '../support/tidemark.ts';

const configuration = (source: PostgresDatabase) => `
destination: { url: "\${DESTINATION_URL}" }
sources:
  - id: shop
    kind: postgres
    connection: ${source.connection}
    streams: [{ table: indexed, mode: replace }, { table: watched, mode: replace }, { table: viewed, mode: replace }]
`;

describeWith({ postgres: true, temporal: true }, 'a full refresh', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    for (const table of ['indexed', 'watched', 'viewed']) {
      await source.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v text); INSERT INTO ${table} SELECT n, 'v' || n FROM generate_series(1, 100) n`);
    }
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
    await target.query(`
      CREATE INDEX "My Index" ON shop.indexed (v text_pattern_ops) WHERE id > 5; CREATE UNIQUE INDEX one_v ON shop.indexed (v);
      DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_reader') THEN CREATE ROLE shop_reader; END IF; END $$;
      GRANT SELECT ON shop.indexed TO shop_reader;
      CREATE TABLE shop.seen (n int); CREATE FUNCTION shop.see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO shop.seen VALUES (1); RETURN NULL; END';
      CREATE TRIGGER see AFTER INSERT ON shop.watched FOR EACH STATEMENT EXECUTE FUNCTION shop.see();
      CREATE VIEW shop.view AS SELECT count(*) AS n FROM shop.viewed`);
    for (const table of ['indexed', 'watched', 'viewed']) await source.query(`UPDATE ${table} SET v = v || 'x' WHERE id < 10; INSERT INTO ${table} VALUES (101, 'new')`);
    await tidemark.syncAll();
  });

  test('brings the new rows', async () => {
    expect(await target.query("SELECT (SELECT count(*) FROM shop.indexed) AS a, (SELECT count(*) FROM shop.watched WHERE v LIKE '%x') AS b, (SELECT n FROM shop.view) AS c")).toEqual([{ a: '101', b: '9', c: '101' }]);
  });

  test('keeps indexes under their names, and grants', async () => {
    const indexes = await target.query("SELECT indexname AS name, (indexdef LIKE '%text_pattern_ops) WHERE (id > 5)%')::text AS partial FROM pg_indexes WHERE schemaname = 'shop' AND tablename = 'indexed' ORDER BY 1");
    expect(indexes).toEqual([{ name: 'My Index', partial: 'true' }, { name: 'indexed_pkey', partial: 'false' }, { name: 'one_v', partial: 'false' }]);
    expect(await target.query("SELECT has_table_privilege('shop_reader', 'shop.indexed', 'SELECT')::text AS may")).toEqual([{ may: 'true' }]);
    await expect(target.query("INSERT INTO shop.indexed (id, v) VALUES (999, 'new')")).rejects.toThrow(/one_v/);
  });

  test('keeps triggers and the views that look at the table', async () => {
    expect(await target.query('SELECT count(*) AS n FROM shop.seen')).toEqual([{ n: '1' }]);
    expect(await target.query("SELECT count(*) AS n FROM pg_trigger WHERE tgrelid = 'shop.watched'::regclass AND NOT tgisinternal")).toEqual([{ n: '1' }]);
  });
});
