/** A build that one part fills leaves the batch out of its rows: each names it all the same, and what hangs on the column stays. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';
import { Tidemark } from '../support/tidemark.ts';

const STREAMS = [
  '{ table: whole, cursor: at }',
  '{ table: parted, cursor: at, batch_rows: 100 }',
  '{ table: checked, cursor: at, rules: [{ column: v, check: not_null }] }',
  '{ table: watched, cursor: at }',
];

const configuration = (source: PostgresDatabase) => `
destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - { id: shop, kind: postgres, connection: ${source.connection}, streams: [${STREAMS.join(', ')}] }
`;

describeWith({ postgres: true, temporal: true }, 'the batch that a row names', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const unknownBatches = (table: string) => target.value(`SELECT count(*) FROM shop.${table} t WHERE NOT EXISTS (SELECT FROM tidemark.ledger l WHERE l.batch = t._tidemark_batch AND l.stream = '${table}')`);
  /** True where rows do not hold it: the server adds it as it reads them. */
  const isLeftOut = (table: string) => target.value(`SELECT atthasmissing FROM pg_attribute WHERE attrelid = 'shop.${table}'::regclass AND attname = '_tidemark_batch'`);

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    for (const table of ['whole', 'parted', 'checked', 'watched']) {
      await source.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v text, at timestamptz NOT NULL DEFAULT now()); INSERT INTO ${table} SELECT n, 'v' || n FROM generate_series(1, 1000) n; ANALYZE ${table}`);
    }
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
  });

  test.each([
    ['whole', 't'],
    ['parted', 'f'],
    ['checked', 'f'],
  ])('stands in the ledger: %s', async (table, leftOut) => {
    expect(await unknownBatches(table)).toBe('0');
    expect(await isLeftOut(table)).toBe(leftOut);
    expect(await target.value(`SELECT column_default IS NULL FROM information_schema.columns WHERE table_schema = 'shop' AND table_name = '${table}' AND column_name = '_tidemark_batch' AND ordinal_position = 4`)).toBe('t');
  });

  test('is that of the last write', async () => {
    const before = await target.value('SELECT max(_tidemark_batch) FROM shop.whole');
    await source.query("UPDATE whole SET v = 'changed', at = clock_timestamp() WHERE id <= 10");
    await tidemark.syncAll();
    expect(await target.value(`SELECT count(*) FROM shop.whole WHERE _tidemark_batch > ${before}`)).toBe('10');
    expect(await target.value(`SELECT count(*) FROM shop.whole WHERE _tidemark_batch = ${before}`)).toBe('990');
    expect(await unknownBatches('whole')).toBe('0');
  });

  test('keeps what a person has hung on the column', async () => {
    await target.query(`ALTER TABLE shop.watched ADD CONSTRAINT of_a_batch CHECK (_tidemark_batch > 0), ADD COLUMN even boolean GENERATED ALWAYS AS (_tidemark_batch % 2 = 0) STORED;
      ALTER TABLE shop.whole ADD CONSTRAINT of_a_batch CHECK (_tidemark_batch > 0); CREATE INDEX whole_batch ON shop.whole (_tidemark_batch)`);
    for (const table of ['watched', 'whole']) await source.query(`UPDATE ${table} SET v = 'again' WHERE id <= 10`);
    await tidemark.must('sync', 'shop', '--full', '--json');
    for (const table of ['watched', 'whole']) {
      expect(await unknownBatches(table)).toBe('0');
      expect(await target.value(`SELECT count(*) FROM pg_constraint WHERE conrelid = 'shop.${table}'::regclass AND conname = 'of_a_batch'`)).toBe('1');
    }
    expect(await target.value('SELECT count(*) FROM shop.watched WHERE even = (_tidemark_batch % 2 = 0)')).toBe('1000');
    expect(await target.value("SELECT count(*) FROM pg_indexes WHERE schemaname = 'shop' AND indexname = 'whole_batch'")).toBe('1');
  });
});
