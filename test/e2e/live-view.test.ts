/** What the demo shows of a stream that polls find unchanged: when it was last known to be complete, as `status` does. */
import pg from 'pg';
import { TABLES } from '../../examples/demo/bank.ts';
import { readView } from '../../examples/demo/live-view.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import { onFileEnd } from '../support/release.ts';
import { Tidemark } from '../support/tidemark.ts';

const HOUR_SECONDS = 3600;

describeWith({ postgres: true, temporal: true }, "the demo's view", () => {
  test('counts the lag from the last poll that found nothing', async () => {
    const [bank, target] = [await createDatabase('bank'), await createDatabase('target')];
    const tables = TABLES.map(({ name }) => `bank.${name}`);
    await bank.query(`CREATE SCHEMA bank; ${tables.map((table) => `CREATE TABLE ${table} (id int PRIMARY KEY); INSERT INTO ${table} VALUES (1);`).join(' ')}`);
    const tidemark = await Tidemark.start(
      `destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - id: demo
    kind: postgres
    connection: ${bank.connection}
    streams: [${tables.map((table) => `{ table: ${table}, cursor: id }`).join(', ')}]
`,
      { ...bank.secrets, DESTINATION_URL: target.url },
    );
    await tidemark.apply();
    await tidemark.syncAll();
    await target.query("UPDATE tidemark.watermark SET as_of = as_of - interval '1 hour'");
    const client = new pg.Client({ connectionString: target.url });
    onFileEnd(() => client.end());
    await client.connect();
    const view = await readView(client);
    expect(view.map(({ stream, rows }) => [stream, rows])).toEqual(tables.map((table) => [table, 1]));
    for (const { lagSeconds } of view) expect(lagSeconds).toBeLessThan(HOUR_SECONDS / 2);
    await target.query("UPDATE tidemark.stream SET checked_at = checked_at - interval '1 hour'");
    for (const { lagSeconds } of await readView(client)) expect(lagSeconds).toBeGreaterThan(HOUR_SECONDS / 2);
  });
});
