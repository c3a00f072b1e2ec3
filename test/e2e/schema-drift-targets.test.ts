/** Changes of the source's table where the target is built anew in every run, or where people have hung views on it. */
import { compareTables } from '../support/compare.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import type { StreamResult } from '../support/tidemark.ts';

const TABLES = ['replaced', 'keyless', 'viewed', 'used', 'composed'];

const configuration = (source: PostgresDatabase) => `
destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - { id: shop, kind: postgres, connection: ${source.connection}, streams: [{ table: replaced, mode: replace }, keyless, viewed, used, composed] }
`;

describeWith({ postgres: true, temporal: true }, 'schema drift of targets that are built anew or looked at', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const sync = async (...args: string[]): Promise<readonly StreamResult[]> => (await tidemark.run('sync', 'shop', '--json', ...args)).json!.streams!;
  const typeOf = (table: string, column: string) => target.value('SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $2', [`shop.${table}`, column]);
  const equal = async (table: string) => expect(await compareTables(source, table, target, `shop.${table}`, ['id'])).toMatchObject({ sourceRows: 4, targetRows: 4, differences: [] });

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    for (const table of TABLES) {
      await source.query(`CREATE TABLE ${table} (id int NOT NULL${table === 'keyless' ? '' : ' PRIMARY KEY'}, amount numeric(12,4), n int, spare text, updated_at timestamptz NOT NULL DEFAULT now()); INSERT INTO ${table} SELECT i, 1.5, i, 's' FROM generate_series(1, 3) i`);
    }
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
    await target.query('CREATE VIEW shop.ids AS SELECT id FROM shop.viewed; CREATE VIEW shop.numbers AS SELECT n FROM shop.used');
    for (const table of ['replaced', 'viewed']) await source.query(`ALTER TABLE ${table} ALTER COLUMN amount TYPE numeric(12,0)`);
    await source.query('ALTER TABLE keyless DROP COLUMN spare; ALTER TABLE keyless ADD COLUMN extra text; ALTER TABLE used ALTER COLUMN n TYPE bigint');
    await source.query('ALTER TABLE composed DROP CONSTRAINT composed_pkey; ALTER TABLE composed ADD PRIMARY KEY (id, n)');
    for (const table of TABLES) await source.query(`INSERT INTO ${table} (id, amount, n) VALUES (4, 2, 4)`);
  });

  test('what is built anew in every run follows new and dropped columns, and stops at a narrower type', async () => {
    const results = await sync();
    expect(streamOf(results, 'keyless')).toMatchObject({ status: 'completed', error: null });
    expect(await target.query('SELECT count(*) AS n, count(spare) AS spare FROM shop.keyless')).toEqual([{ n: '4', spare: '0' }]);
    expect(await typeOf('keyless', 'extra')).toBe('text');
    expect(streamOf(results, 'replaced')).toMatchObject({ status: 'parked', read: 0, error: { code: 'source.schema_changed' } });
    expect(streamOf(results, 'used')).toMatchObject({ status: 'parked', error: { code: 'target.column_conflict', message: expect.stringContaining('Column n of shop.used') } });
    expect(streamOf(results, 'composed')).toMatchObject({ status: 'parked', error: { code: 'source.schema_changed', message: expect.stringContaining('(id, n)') } });
  });

  test('a full sync gives it the new type, key and rows; views stay', async () => {
    await target.query('DROP VIEW shop.numbers');
    const results = await sync('--full');
    for (const table of TABLES) {
      expect(streamOf(results, table)).toMatchObject({ status: 'completed', error: null });
      if (table !== 'keyless') await equal(table);
    }
    expect([await typeOf('replaced', 'amount'), await typeOf('viewed', 'amount'), await typeOf('used', 'n')]).toEqual(['numeric(12,0)', 'numeric(12,0)', 'bigint']);
    expect(await target.value('SELECT count(*) FROM shop.ids')).toBe('4');
    await source.query('UPDATE composed SET amount = 9, updated_at = clock_timestamp() WHERE id = 4');
    for (const result of await sync()) expect(result).toMatchObject({ status: 'completed', error: null });
    await equal('composed');
  });
});
