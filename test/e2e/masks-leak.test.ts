/**
 * No clear value of a masked column is anywhere but at its source, whatever becomes of its row: one that breaks a rule, whose transform fails, that is changed,
 * deleted by a tombstone, logged for derived tables, told of in events or named as a difference. Looked for in the destination's files, its server log, all that Tidemark
 * prints and all of Temporal's histories; of PostgreSQL and of Derby by IBM's driver. The key comes from a file, and is replaced by another.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createDerby, type DerbyDatabase } from '../support/derby.ts';
import { describeWith } from '../support/describe-with.ts';
import { filesWith } from '../support/files-with.ts';
import { createDatabase, PrivatePostgres, type PostgresDatabase } from '../support/postgres.ts';
import { scratchFolder } from '../support/shared-server.ts';
import { exportHistory, listWorkflows } from '../support/temporal.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';

const CLEAR = /CLEAR/;

/** A history with its payloads decoded. */
function decoded(text: string): string {
  return text.replaceAll(/"data":\s*"([A-Za-z0-9+/=]+)"/g, (_, data: string) => Buffer.from(data, 'base64').toString());
}

describeWith({ postgres: true, db2: true, temporal: true }, 'clear values of masked columns', () => {
  let source: PostgresDatabase;
  let derby: DerbyDatabase;
  let server: PrivatePostgres;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const keyFile = join(scratchFolder('keys'), 'national-id');
  const keys = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')] as const;

  const histories = () => {
    const { TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE } = tidemark.env;
    return listWorkflows(TEMPORAL_ADDRESS!, TEMPORAL_NAMESPACE!).map(({ execution }) => decoded(exportHistory(TEMPORAL_ADDRESS!, TEMPORAL_NAMESPACE!, execution).text));
  };

  beforeAll(async () => {
    [source, derby, server] = [await createDatabase('bank'), await createDerby('hq'), await PrivatePostgres.start()];
    target = await server.createDatabase('target');
    writeFileSync(keyFile, `${keys[0]}\n`);
    await source.query(`CREATE TABLE person (id int PRIMARY KEY, nida text, note text, amount int, parts int, city text, gone text NOT NULL DEFAULT 'N', changed timestamptz NOT NULL DEFAULT clock_timestamp());
      INSERT INTO person SELECT n, 'CLEARNIDA' || n, 'CLEARNOTE' || n, CASE WHEN n % 10 = 1 THEN -n ELSE n END, CASE WHEN n % 10 = 2 THEN 0 ELSE 1 END, CASE WHEN n % 10 = 3 THEN NULL ELSE 'City' || n END FROM generate_series(1, 100) n`);
    await derby.run('create table PERSON (ID integer not null primary key, NIDA varchar(40), NOTE varchar(60), BORN date, CITY varchar(20), TS timestamp not null)');
    await derby.run(`insert into PERSON values ${Array.from({ length: 30 }, (_, n) => `(${n + 1}, 'CLEARNIDA${n + 1}', 'CLEARNOTE${n + 1}', '1980-05-17', 'City${n + 1}', '2024-01-${String(n + 1).padStart(2, '0')} 00:00:00')`).join(', ')}`);
    tidemark = await Tidemark.start(`destination: { url: "\${DESTINATION_URL}" }
keys: { national-id: { file: ${keyFile} } }
defaults: { poll_interval: 365d, bad_rows_max: 1.0 }
sources:
  - id: bank
    kind: postgres
    connection: ${source.connection}
    streams:
      - table: person
        cursor: changed
        mask: { nida: { hmac: national-id }, note: { encrypt: national-id } }
        transform: { share: "amount / parts", digits: "nida::int" }
        rules: [{ check: "amount >= 0" }, { column: city, check: not_null, otherwise: reject }]
        deletes: { detect: tombstone, column: gone, is: "Y", apply: hard }
        touch_log: [nida, city]
  - id: plain
    kind: postgres
    connection: ${source.connection}
    streams: [{ table: person, cursor: changed, mask: { nida: { hmac: national-id }, note: redact }, rules: [{ check: "amount >= 0" }], touch_log: [nida], deletes: { detect: tombstone, column: gone, is: "Y", apply: soft } }]
  - id: hq
    kind: db2
    connection: ${JSON.stringify(derby.connection)}
    streams: [{ table: PERSON, cursor: TS, mask: { NIDA: { hmac: national-id }, NOTE: redact, BORN: date_year }, rules: [{ column: city, check: { matches: "^City[^7]*$" } }] }]
`, { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
  });

  test('rows that are rejected, changed, deleted, logged and compared', async () => {
    const first = await tidemark.run('sync', '--all', '--json');
    // No row of the first stream passes its transform: every masked value is in an error of the server.
    expect(first.json?.streams?.map(({ source, status, rejected }) => [source, status, rejected > 0]).sort()).toEqual([['bank', 'completed', true], ['hq', 'completed', true], ['plain', 'completed', true]]);
    await source.query("UPDATE person SET nida = 'CLEARNIDA changed', city = 'moved', changed = clock_timestamp() WHERE id IN (4, 5); UPDATE person SET gone = 'Y', changed = clock_timestamp() WHERE id IN (6, 7); UPDATE person SET amount = -1, changed = clock_timestamp() WHERE id = 8");
    await tidemark.run('sync', '--all', '--json');
    expect(Number(await target.value("SELECT count(*) FROM tidemark.touch WHERE source = 'plain' AND old->>'nida' LIKE 'h1.%'"))).toBeGreaterThanOrEqual(4);
    expect(Number(await target.value("SELECT count(*) FROM tidemark.event WHERE type IN ('BatchRejected', 'DeletesApplied')"))).toBeGreaterThanOrEqual(3);
    expect(await target.value("SELECT count(DISTINCT nida) FROM (SELECT nida FROM hq.person WHERE nida LIKE 'h1.%' AND note = '[redacted]' AND born = '1980-01-01') p")).toBe('27');
    expect(await target.value('SELECT count(*) FROM hq.person h JOIN plain.person p USING (nida)')).not.toBe('0');
    await target.query("DELETE FROM plain.person WHERE id = 9; UPDATE plain.person SET city = 'tampered' WHERE id = 10; DELETE FROM hq.person WHERE id = 1");
    expect((await tidemark.run('reconcile', 'plain', '--json')).json).toMatchObject({ streams: [{ missing: 1, different: 1 }] });
    expect((await tidemark.run('reconcile', 'hq', '--json')).json).toMatchObject({ streams: [{ missing: 1, different: 0 }] });
    expect((await tidemark.run('reconcile', 'plain', '--repair', '--json')).json?.error?.code).toBe('config.unsupported');
    for (const name of ['bank', 'plain', 'hq']) await tidemark.run('quarantine', 'show', name, name === 'hq' ? 'PERSON' : 'person', '--json');
    await tidemark.run('quarantine', 'replay', 'plain', 'person', '--json');
  });

  test('none is in a file of the destination, in its log, in what Tidemark prints or in a history; nor is the key', async () => {
    await target.query('CHECKPOINT');
    expect(filesWith(server.server.dataFolder, 'City5').length).toBeGreaterThan(0);
    for (const clear of ['CLEARNIDA', 'CLEARNOTE', keys[0]]) expect([clear, filesWith(server.server.dataFolder, clear)]).toEqual([clear, []]);
    expect(readFileSync(server.server.log, 'utf8')).not.toMatch(CLEAR);
    for (const [file, text] of tidemark.printed()) expect([file, CLEAR.test(text), text.includes(keys[0])]).toEqual([file, false, false]);
    const all = histories();
    expect(all.length).toBeGreaterThan(8);
    expect(all.filter((text) => CLEAR.test(text) || text.includes(keys[0]))).toEqual([]);
    // Values of columns without a mask do not cross Temporal either.
    expect(all.filter((text) => text.includes('City'))).toEqual([]);
  });

  test('another key in the file: what is read from then on has its id, and a full refresh gives it to all', async () => {
    const ids = async () => (await target.query('SELECT DISTINCT substr(nida, 4, 8) AS id FROM hq.person')).map((row) => row['id']);
    const [before] = await ids();
    writeFileSync(keyFile, `${keys[1]}\n`);
    await derby.run("insert into PERSON values (100, 'CLEARNIDA100', 'CLEARNOTE', '1980-05-17', 'City100', current_timestamp)");
    const sync = async (...more: readonly string[]) => streamOf((await tidemark.run('sync', 'hq', ...more, '--json')).json?.streams, 'PERSON');
    expect(await sync()).toMatchObject({ status: 'completed', error: null });
    const mixed = await ids();
    expect([mixed.length, mixed.includes(before)]).toEqual([2, true]);
    expect(await sync('--full')).toMatchObject({ status: 'completed', error: null });
    const after = await ids();
    expect([after.length, after.includes(before)]).toEqual([1, false]);
    expect(filesWith(server.server.dataFolder, keys[1])).toEqual([]);
  });

  test('without the file the stream stops before it reads, and names the key', async () => {
    rmSync(keyFile);
    const { code, json } = await tidemark.run('sync', 'hq', '--json');
    expect({ code, stream: streamOf(json?.streams, 'PERSON') }).toMatchObject({ code: 1, stream: { status: 'parked', read: 0, error: { code: 'config.key_missing', message: expect.stringContaining('"national-id"') } } });
  });
});
