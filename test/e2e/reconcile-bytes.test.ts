/** Equal tables are compared with at most a hundredth of their bytes on the network, counted on every connection of the worker to both ends. */
import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { Tidemark } from '../support/tidemark.ts';

const ROWS = 60_000;
const REPEATS = 20;

describeWith({ postgres: true, mariadb: true, temporal: true }, 'bytes of a reconcile', () => {
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  let proxies: Record<'bank' | 'shop' | 'target', TcpProxy>;

  beforeAll(async () => {
    const [bank, shop] = [await createDatabase('bank'), await createMariadb('shop')];
    target = await createDatabase('target');
    await bank.query(`CREATE TABLE item (id int PRIMARY KEY, v text, changed timestamptz NOT NULL DEFAULT '2024-01-01'); INSERT INTO item SELECT n, repeat(md5(n::text), ${REPEATS}) FROM generate_series(1, ${ROWS}) n; ANALYZE item`);
    await shop.query('CREATE TABLE item (id int PRIMARY KEY, v text, changed datetime(6) NOT NULL, KEY (changed))');
    await shop.query(`INSERT INTO item SELECT seq, REPEAT(MD5(seq), ${REPEATS}), '2024-01-01' FROM seq_1_to_${ROWS}`);
    proxies = { bank: await TcpProxy.before(bank.server), shop: await TcpProxy.before(shop.server), target: await TcpProxy.before(target.server) };
    const through = (connection: string, { port }: TcpProxy) => connection.replace(/port: \d+/, `port: ${port}`);
    const file = `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:
  - { id: bank, kind: postgres, connection: ${through(bank.connection, proxies.bank)}, streams: [{ table: item, cursor: changed }] }
  - { id: shop, kind: mariadb, connection: ${through(shop.connection, proxies.shop)}, streams: [{ table: item, cursor: changed }] }\n`;
    const url = new URL(target.url);
    url.port = String(proxies.target.port);
    tidemark = new Tidemark(file, { ...bank.secrets, ...shop.secrets, DESTINATION_URL: url.href, ...(await Tidemark.temporal()) });
    tidemark.startWorker();
    await tidemark.workerReady(1);
    await tidemark.apply();
    await tidemark.syncAll();
  });

  test.each(['bank', 'shop'] as const)('%s: at most a hundredth of the table', async (source) => {
    const before = proxies[source].bytes + proxies.target.bytes;
    const { streams } = await tidemark.must('reconcile', source, '--json');
    expect(streams).toMatchObject([{ sourceRows: ROWS, targetRows: ROWS, missing: 0, extra: 0, different: 0, way: 'digest' }]);
    const crossed = proxies[source].bytes + proxies.target.bytes - before;
    expect(crossed).toBeGreaterThan(1_000);
    expect(crossed).toBeLessThan(Number(await target.value(`SELECT sum(pg_column_size(t.*)) FROM ${source}.item t`)) / 100);
  });
});
