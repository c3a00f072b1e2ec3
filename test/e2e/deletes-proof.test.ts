/** Deletes need proof: what only looks like one deletes nothing, and what was deleted is not brought back by anything older. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import type { StreamResult } from '../support/tidemark.ts';

const ROWS = 300;
const STREAMS = `[{ table: seen, cursor: at, key: [id], deletes: { detect: scan, apply: hard } }, { table: guarded, cursor: at, deletes: { detect: scan, apply: hard } },
      { table: big, cursor: at, deletes: { detect: scan, apply: hard } }, { table: raced, cursor: at, deletes: { detect: scan, every: 1s, apply: soft } }, { table: stones, cursor: at, deletes: { detect: tombstone, column: gone, is: true, apply: hard } }]`;

describeWith({ postgres: true, temporal: true }, 'deletes need proof', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const count = (table: string, where = 'true') => target.value(`SELECT count(*) FROM shop.${table} WHERE ${where}`);
  const scan = async (stream: string) => {
    const { code, json, stdout, stderr } = await tidemark.run('sync', 'shop', '--stream', stream, '--detect-deletes', '--json');
    if (json?.streams === undefined) throw new Error(`${stdout}\n${stderr}\n${tidemark.workerTails()}`);
    const result: StreamResult = streamOf(json.streams, stream);
    return { code, status: result.status, error: result.error?.code ?? null, deleted: result.deleted, hint: result.error?.hint ?? '' };
  };

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    const columns = 'id int PRIMARY KEY, name text, region text, gone boolean NOT NULL DEFAULT false, at timestamptz NOT NULL DEFAULT clock_timestamp()';
    for (const table of ['base', 'guarded', 'big', 'raced', 'stones']) {
      await source.query(`CREATE TABLE ${table} (${columns}); INSERT INTO ${table} (id, name, region) SELECT n, 'name ' || n, 'r' || n % 50 FROM generate_series(1, ${table === 'big' ? 20_000 : ROWS}) n`);
    }
    await source.query('CREATE VIEW seen AS SELECT id, name, at FROM base');
    const file = `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { overlap: 0s }\nsources:\n  - id: shop\n    kind: postgres\n    connection: ${source.connection}\n    streams: ${STREAMS}\n`;
    tidemark = await Tidemark.start(file, { ...source.secrets, DESTINATION_URL: target.url }, 1);
    await tidemark.apply();
    await tidemark.syncAll('--detect-deletes');
  });

  test('a filter that changed in a view: it asks, though fewer rows are missing than the cap allows', async () => {
    await source.query("CREATE OR REPLACE VIEW seen AS SELECT id, name, at FROM base WHERE region <> 'r7'");
    expect(await scan('seen')).toMatchObject({ code: 1, status: 'parked', error: 'target.deletes_above_cap' });
    expect(await count('seen')).toBe(String(ROWS));
    await source.query('CREATE OR REPLACE VIEW seen AS SELECT id, name, at FROM base');
    expect(await scan('seen')).toMatchObject({ code: 0, status: 'completed', deleted: 0 });
    await source.query('DELETE FROM base WHERE id = 5');
    expect(await scan('seen')).toMatchObject({ code: 0, deleted: 1 });
  });

  test('a policy that hides rows: nothing is deleted', async () => {
    await source.query(`ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY; CREATE POLICY few ON guarded USING (id > 3)`);
    const hidden = await scan('guarded');
    // A user that bypasses policies sees all rows, and then none is missing.
    if (hidden.code === 0) expect(hidden.deleted).toBe(0);
    else expect(hidden.error).toBe('source.privilege_missing');
    expect(await count('guarded')).toBe(String(ROWS));
    await source.query('DROP POLICY few ON guarded; ALTER TABLE guarded DISABLE ROW LEVEL SECURITY');
  });

  test('a truncated source: it asks', async () => {
    await source.query('TRUNCATE guarded');
    expect(await scan('guarded')).toMatchObject({ code: 1, status: 'parked', error: 'target.deletes_above_cap' });
    expect(await count('guarded')).toBe(String(ROWS));
  });

  test('a scan whose worker is killed half way deletes nothing; the next attempt deletes once', async () => {
    await source.query('DELETE FROM big WHERE id % 20 = 0');
    // The rows that are to go are held: the scan's transaction waits for them, a moment to kill it in.
    const held = await target.client();
    await held.query('BEGIN; SELECT FROM shop.big WHERE id % 20 = 0 FOR UPDATE');
    const running = tidemark.begin('sync', 'shop', '--stream', 'big', '--detect-deletes', '--json');
    await waitFor('a scan', async () => ((await target.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")) === '0' ? null : true));
    await tidemark.workers.at(-1)!.kill('SIGKILL');
    await held.query('COMMIT');
    expect([await count('big'), await target.value("SELECT count(*) FROM tidemark.ledger WHERE stream = 'big' AND kind = 'scan'")]).toEqual(['20000', '0']);
    tidemark.startWorker();
    const { code, json } = await running.result;
    expect({ code, deleted: streamOf(json?.streams, 'big').deleted }).toEqual({ code: 0, deleted: 1000 });
    expect([await count('big'), await target.value("SELECT count(*) FROM tidemark.ledger WHERE stream = 'big' AND kind = 'scan'")]).toEqual(['19000', '1']);
  });

  test('beside live inserts and deletes no live row is ever marked', async () => {
    let writing = true;
    const writer = (async () => {
      for (let n = 1000; writing; n += 1) await source.query(`INSERT INTO raced (id, name) VALUES (${n}, 'live'); ${n % 40 === 0 ? `DELETE FROM raced WHERE id = ${n - 20}` : ''}`);
    })();
    for (let round = 0; round < 3; round += 1) expect((await tidemark.run('sync', 'shop', '--stream', 'raced', '--json')).code).toBe(0);
    writing = false;
    await writer;
    expect((await scan('raced')).code).toBe(0);
    const live = await source.value("SELECT string_agg(id::text, ',' ORDER BY id) FROM raced");
    expect(await target.value("SELECT string_agg(id::text, ',' ORDER BY id) FROM shop.raced WHERE _tidemark_deleted_at IS NULL")).toBe(live);
  });

  test('a rejected row of an older batch does not bring a deleted one back', async () => {
    // Waiting in the quarantine since before the delete, as a rule or a type would leave it.
    const batch = await target.value("SELECT max(batch) FROM tidemark.ledger WHERE stream = 'stones'");
    await target.query(`INSERT INTO tidemark.quarantine (batch, source, stream, reasons, "row") VALUES (${batch}, 'shop', 'stones', '[{"column":"name","code":"type","otherwise":"quarantine"}]', '{"id":"9","name":"old","region":"r9","gone":"false","at":"2024-01-01 00:00:00+00"}')`);
    await source.query('UPDATE stones SET gone = true, at = clock_timestamp() WHERE id = 9');
    const streams = await tidemark.syncAll('--stream', 'stones');
    expect(streamOf(streams, 'stones')).toMatchObject({ status: 'completed', deleted: 1 });
    expect(await target.value('SELECT count(*) FROM tidemark.deleted_key')).toBe('1');
    const { code } = await tidemark.run('quarantine', 'replay', 'shop', 'stones', '--json');
    expect({ code, back: await count('stones', 'id = 9') }).toEqual({ code: 0, back: '0' });
  });
});
