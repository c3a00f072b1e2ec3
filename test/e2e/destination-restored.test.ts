/** X22: the destination comes back from an older backup, rows and watermark together; the source and Temporal do not. */
import { compareTables } from '../support/compare.ts';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres, PostgresDatabase, createDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { Tidemark } from '../support/tidemark.ts';

const configuration = (source: PostgresDatabase) => `
destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - { id: shop, kind: postgres, connection: ${source.connection}, streams: [{ table: item, cursor: at }] }
`;

describeWith({ postgres: true, temporal: true }, 'a destination restored from an older backup', () => {
  test('goes on from the watermark that came back with the rows', async () => {
    const source = await createDatabase('shop');
    const server = await PrivatePostgres.start();
    const target = await server.createDatabase('target');
    const admin = new PostgresDatabase(server.server, 'postgres');
    const backUp = async (from: string, to: string) => {
      await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${from}'`);
      // The server itself waits five seconds for them.
      await waitFor('the sessions to end', async () => ((await admin.value(`SELECT count(*) FROM pg_stat_activity WHERE datname = '${from}'`)) === '0' ? true : null));
      await admin.query(`CREATE DATABASE "${to}" TEMPLATE "${from}"`);
    };
    await source.query("CREATE TABLE item (id int PRIMARY KEY, v text, at timestamptz NOT NULL DEFAULT clock_timestamp()); INSERT INTO item SELECT n, 'v' || n FROM generate_series(1, 30) n");
    const tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
    const worker = tidemark.workers[0]!;
    await worker.stop();
    await backUp(target.name, 'backup');
    tidemark.startWorker();
    await tidemark.workerReady(2);
    await source.query("UPDATE item SET v = v || '!', at = clock_timestamp() WHERE id <= 5; INSERT INTO item SELECT n, 'v' || n FROM generate_series(31, 40) n");
    await tidemark.syncAll();
    expect(await target.value('SELECT count(*) FROM shop.item')).toBe('40');
    await tidemark.workers[1]!.stop();
    await admin.query(`DROP DATABASE "${target.name}" WITH (FORCE)`);
    await backUp('backup', target.name);
    expect(await target.value('SELECT count(*) FROM shop.item')).toBe('30');
    tidemark.startWorker();
    await tidemark.workerReady(3);
    await source.query("INSERT INTO item VALUES (41, 'v41')");
    const [result] = await tidemark.syncAll();
    expect(result).toMatchObject({ status: 'completed', error: null, written: 16 });
    expect(await compareTables(source, 'item', target, 'shop.item', ['id'])).toMatchObject({ sourceRows: 41, targetRows: 41, differences: [] });
    await admin.close();
  });
});
