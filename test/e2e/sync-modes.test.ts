/** What a user's first file gives: discovered keys and cursors, the three modes, tables without a cursor or a key. */
import { compareTables } from '../support/compare.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import type { StreamResult } from '../support/tidemark.ts';

const configuration = (source: PostgresDatabase, more = '') => `
destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - id: shop
    kind: postgres
    connection: ${source.connection}
    streams:
      - bare
      - { table: events, mode: append, cursor: id }
      - { table: prices, mode: replace }
      - countries
      - keyless
      - { table: "Mixed Case", target: shop.renamed, cursor: "Changed At" }
${more}`;

describeWith({ postgres: true, temporal: true }, 'modes and discovery', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  let first: readonly StreamResult[];

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    await source.query(`
      CREATE TABLE bare (id int PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now()); CREATE INDEX ON bare (updated_at);
      CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
      CREATE TABLE prices (id int PRIMARY KEY, v numeric(10,2));
      CREATE TABLE countries (code text PRIMARY KEY, name text);
      CREATE TABLE keyless (v text);
      CREATE TABLE "Mixed Case" ("The Id" int PRIMARY KEY, "Changed At" timestamptz NOT NULL, "select" text);
      INSERT INTO bare SELECT n, 'v' || n FROM generate_series(1, 100) n;
      INSERT INTO events (v) SELECT 'e' || n FROM generate_series(1, 50) n;
      INSERT INTO prices SELECT n, n / 100.0 FROM generate_series(1, 20) n;
      INSERT INTO countries VALUES ('TZ', 'Tanzania'), ('MU', 'Mauritius');
      INSERT INTO keyless VALUES ('a'), ('a'), (NULL);
      INSERT INTO "Mixed Case" VALUES (1, now(), 'x')`);
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    first = await tidemark.syncAll();
  });

  test('all tables arrive and the results say how', async () => {
    expect(first).toHaveLength(6);
    expect(streamOf(first, 'bare')).toMatchObject({ source: 'shop', target: 'shop.bare', status: 'completed', mode: 'upsert', read: 100, written: 100, unchanged: 0, rejected: 0, superseded: 0, deleted: 0, error: null });
    expect(streamOf(first, 'bare').watermark).toMatchObject({ from: null, to: expect.stringMatching(/^20\d\d-.*Z$/) });
    expect(streamOf(first, 'events')).toMatchObject({ mode: 'append', written: 50 });
    expect(streamOf(first, 'prices')).toMatchObject({ mode: 'replace', written: 20 });
    expect((await compareTables(source, 'bare', target, 'shop.bare', ['id'])).differences).toEqual([]);
    expect((await compareTables(source, 'countries', target, 'shop.countries', ['code'])).differences).toEqual([]);
    expect((await compareTables(source, 'Mixed Case', target, 'shop.renamed', ['The Id'])).differences).toEqual([]);
    expect(await target.query('SELECT v, count(*) AS n FROM shop.keyless GROUP BY v ORDER BY v')).toEqual([{ v: 'a', n: '2' }, { v: null, n: '1' }]);
  });

  test('each row names the batch of the ledger that wrote it', async () => {
    expect(await target.value('SELECT count(*) FROM shop.bare b WHERE NOT EXISTS (SELECT FROM tidemark.ledger l WHERE l.batch = b._tidemark_batch)')).toBe('0');
    const { batches } = await tidemark.must('ledger', 'shop', 'bare', '--json');
    // The build of a table and the catch-up after it are batches of their own.
    const built = batches?.filter(({ read }) => read !== 0);
    expect(built).toEqual([expect.objectContaining({ stream: expect.stringContaining('bare'), read: 100, written: 100, hash: expect.stringMatching(/./), committedAt: expect.stringMatching(/Z$/) })]);
  });

  test('changes: upsert follows, append keeps what it has, replace is the source as it is now', async () => {
    await source.query(`
      UPDATE bare SET v = 'changed', updated_at = clock_timestamp() WHERE id <= 10; INSERT INTO bare VALUES (101, 'new', clock_timestamp());
      UPDATE events SET v = 'rewritten' WHERE id = 1; INSERT INTO events (v) VALUES ('e51');
      DELETE FROM prices WHERE id > 18; UPDATE prices SET v = v + 1 WHERE id = 1;
      INSERT INTO countries VALUES ('KE', 'Kenya');
      INSERT INTO keyless VALUES ('b')`);
    const streams = await tidemark.syncAll();
    expect(streamOf(streams, 'bare')).toMatchObject({ status: 'completed', written: 11 });
    expect((await compareTables(source, 'bare', target, 'shop.bare', ['id'])).differences).toEqual([]);
    expect(await target.query('SELECT count(*) AS n, min(v) FILTER (WHERE id = 1) AS one FROM shop.events')).toEqual([{ n: '51', one: 'e1' }]);
    expect((await compareTables(source, 'prices', target, 'shop.prices', ['id'])).differences).toEqual([]);
    expect((await compareTables(source, 'countries', target, 'shop.countries', ['code'])).differences).toEqual([]);
    expect(await target.value('SELECT count(*) FROM shop.keyless')).toBe('4');
  });

  test('plan says plainly which stream has no cursor and is read whole', async () => {
    const { stdout, stderr } = await tidemark.run('plan');
    const warning = `${stdout}${stderr}`.split('\n').filter((line) => /countries/.test(line)).join('\n');
    expect(warning).toMatch(/cursor|full refresh|whole/i);
  });

  test('status tells watermark, guarantee and rows', async () => {
    const { streams } = await tidemark.must('status', '--json');
    expect(streams?.find(({ stream }) => stream.endsWith('bare'))).toMatchObject({ source: 'shop', target: 'shop.bare', status: 'completed', guarantee: 'exact', rows: 101, error: null });
  });

  test('a second apply of the same file changes nothing', async () => {
    const { changes } = await tidemark.must('plan', '--json');
    expect(changes).toEqual([]);
  });

  test('sync says so when the file differs from what was applied', async () => {
    tidemark.configure(configuration(source, '    priority: critical\n'));
    const { code, stderr, stdout } = await tidemark.run('sync', 'shop');
    tidemark.configure(configuration(source));
    expect(code).toBe(0);
    expect(`${stdout}${stderr}`).toMatch(/differs|apply/i);
  });
});
