/** A target that somebody renamed or dropped is never replaced by an empty one under the old watermark. */
import { compareTables } from '../support/compare.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import type { StreamResult } from '../support/tidemark.ts';

const configuration = (source: PostgresDatabase) => `
destination: { url: "\${DESTINATION_URL}" }
sources:
  - id: shop
    kind: postgres
    connection: ${source.connection}
    streams: [moved, neighbour]
`;

describeWith({ postgres: true, temporal: true }, 'a target that is gone', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const sync = async (...more: string[]): Promise<readonly StreamResult[]> => {
    const { json } = await tidemark.run('sync', 'shop', '--json', ...more);
    return (json as { streams: StreamResult[] }).streams;
  };
  const change = (): Promise<unknown> => source.query("UPDATE moved SET v = v || '!', updated_at = clock_timestamp() WHERE id = 1; UPDATE neighbour SET v = v || '!', updated_at = clock_timestamp() WHERE id = 1");

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    for (const table of ['moved', 'neighbour']) {
      await source.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now()); INSERT INTO ${table} SELECT n, 'v' || n FROM generate_series(1, 50) n`);
    }
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
    await target.query('ALTER TABLE shop.moved RENAME TO elsewhere');
    await change();
  });

  test('parks its stream, and its neighbour goes on', async () => {
    const results = await sync();
    expect(streamOf(results, 'moved')).toMatchObject({ status: 'parked', read: 0, error: { code: 'target.table_missing' } });
    expect(streamOf(results, 'neighbour')).toMatchObject({ status: 'completed', written: 1 });
    await tidemark.run('apply', '--yes');
    expect(await target.query("SELECT to_regclass('shop.moved')::text AS table")).toEqual([{ table: null }]);
  });

  test('put back, it catches up from its watermark', async () => {
    await target.query('ALTER TABLE shop.elsewhere RENAME TO moved');
    expect(streamOf(await sync(), 'moved')).toMatchObject({ status: 'completed', written: 1 });
    expect((await compareTables(source, 'moved', target, 'shop.moved', ['id'])).differences).toEqual([]);
  });

  test('dropped for good, --full builds it anew', async () => {
    await target.query('DROP TABLE shop.moved');
    expect(streamOf(await sync(), 'moved')).toMatchObject({ status: 'parked', error: { code: 'target.table_missing' } });
    expect(streamOf(await sync('--stream', 'moved', '--full'), 'moved')).toMatchObject({ status: 'completed', written: 50 });
    expect((await compareTables(source, 'moved', target, 'shop.moved', ['id'])).differences).toEqual([]);
  });
});
