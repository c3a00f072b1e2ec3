/** Too many rejected rows stop their batch: nothing of it is loaded, the stream parks and says so, and after a fix of the rule it goes on and replays what waits. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';

describeWith({ postgres: true, temporal: true }, 'bad_rows_max', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const file = (rule: string) => `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - id: bank\n    kind: postgres\n    connection: ${source.connection}\n    streams:
      - { table: item, cursor: changed, bad_rows_max: 10 %, rules: [{ check: "${rule}" }] }
      - { table: neighbour, cursor: changed }\n`;
  const sync = async () => (await tidemark.run('sync', 'bank', '--json')).json?.streams;
  const add = (from: number, to: number, bad: number) =>
    source.query(`INSERT INTO item SELECT n, CASE WHEN n < ${from + bad} THEN -n ELSE n END FROM generate_series(${from}, ${to}) n; INSERT INTO neighbour SELECT n FROM generate_series(${from}, ${to}) n`);

  beforeAll(async () => {
    [source, target] = [await createDatabase('bank'), await createDatabase('target')];
    await source.query(`CREATE TABLE item (id int PRIMARY KEY, amount int, changed timestamptz NOT NULL DEFAULT clock_timestamp()); CREATE TABLE neighbour (id int PRIMARY KEY, changed timestamptz NOT NULL DEFAULT clock_timestamp());
      CREATE INDEX ON item (changed); CREATE INDEX ON neighbour (changed)`);
    await add(1, 2000, 200);
    tidemark = await Tidemark.start(file('amount >= 0'), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
  });

  test('a share at the bound passes', async () => {
    expect(streamOf(await sync(), 'item')).toMatchObject({ status: 'completed', written: 1800, rejected: 200 });
  });

  test('one above it stops the batch: nothing of it is loaded, the watermark stays, the neighbour goes on', async () => {
    const watermark = await target.value("SELECT display FROM tidemark.watermark WHERE stream = 'item'");
    await add(3001, 5000, 201);
    const streams = await sync();
    expect(streamOf(streams, 'item')).toMatchObject({ status: 'parked', written: 0, error: { code: 'batch.bad_rows', hint: expect.stringContaining('bad_rows_max') } });
    expect(streamOf(streams, 'neighbour')).toMatchObject({ status: 'completed', written: 2000 });
    expect(await target.value('SELECT count(*) FROM bank.item')).toBe('1800');
    expect(await target.value("SELECT display FROM tidemark.watermark WHERE stream = 'item'")).toBe(watermark);
    expect(await target.value("SELECT count(*) FROM tidemark.event WHERE type = 'StreamParked' AND stream = 'item'")).toBe('1');
  });

  test('below 1,000 rows a share says nothing', async () => {
    await source.query('DELETE FROM item WHERE id > 3001 AND id < 4990');
    await tidemark.run('retry', 'bank', '--stream', 'item', '--json');
    expect(await target.value("SELECT count(*) FROM tidemark.quarantine WHERE stream = 'item' AND replayed_at IS NULL")).toBe('201');
    expect(await target.value('SELECT count(*) FROM bank.item')).toBe('1811');
  });

  test('after a fix of the rule a replay brings all that waits, and source and target are equal', async () => {
    tidemark.configure(file('amount <> 0'));
    await tidemark.apply();
    await source.query('UPDATE item SET amount = 0, changed = clock_timestamp() WHERE id = 1');
    expect(streamOf(await sync(), 'item')).toMatchObject({ status: 'completed' });
    const { code, json } = await tidemark.run('quarantine', 'replay', 'bank', 'item', '--json');
    // The newest version of row 1 breaks today's rule, and its older one is outdated by it.
    expect({ code, json }).toMatchObject({ json: { read: 202, written: 200, rejected: 1 } });
    expect((await tidemark.run('reconcile', 'bank', 'item', '--json')).json).toMatchObject({ ok: true, streams: [{ missing: 0, extra: 0, different: 0 }] });
  });
});
