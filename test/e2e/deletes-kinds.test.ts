/** Deletes of streams that are read in other ways: masked keys, a full refresh in every run, tombstones of Derby. */
import { createDerby } from '../support/derby.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';

describeWith({ postgres: true, db2: true, temporal: true }, 'deletes of all kinds of streams', () => {
  test('masked keys, full refreshes with soft deletes, tombstones of Derby', async () => {
    const [source, derby, target] = [await createDatabase('shop'), await createDerby('shop'), await createDatabase('target')];
    await source.query(`CREATE TABLE person (ssn text PRIMARY KEY, name text, at timestamptz NOT NULL DEFAULT clock_timestamp()); INSERT INTO person (ssn, name) SELECT 's' || n, 'n' || n FROM generate_series(1, 40) n;
      CREATE TABLE whole (id int PRIMARY KEY, name text); INSERT INTO whole SELECT n, 'n' || n FROM generate_series(1, 40) n`);
    await derby.run('create table ITEM (id integer not null primary key, gone char(3) not null, ts timestamp not null default current_timestamp)');
    await derby.run(`insert into ITEM (id, gone) values ${Array.from({ length: 40 }, (_, n) => `(${n + 1}, 'N')`).join(', ')}`);
    const file = `destination: { url: "\${DESTINATION_URL}" }
keys: { people: { env: PEOPLE_KEY } }
defaults: { overlap: 0s }
sources:
  - id: shop
    kind: postgres
    connection: ${source.connection}
    streams: [{ table: person, cursor: at, mask: { ssn: { hmac: people } }, deletes: { detect: scan, apply: hard } }, { table: whole, deletes: { detect: scan, apply: soft } }]
  - id: depot
    kind: db2
    connection: ${JSON.stringify(derby.connection)}
    streams: [{ table: ITEM, cursor: TS, deletes: { detect: tombstone, column: GONE, is: Y, apply: hard } }]
`;
    const tidemark = await Tidemark.start(file, { ...source.secrets, DESTINATION_URL: target.url, PEOPLE_KEY: Buffer.from(Array.from({ length: 32 }, (_, n) => n * 7 + 3)).toString('base64') });
    await tidemark.apply();
    await tidemark.syncAll();
    await source.query("DELETE FROM person WHERE ssn IN ('s3', 's4'); DELETE FROM whole WHERE id IN (3, 4)");
    await derby.run("update ITEM set gone = 'Y', ts = current_timestamp where id in (3, 4)");
    const streams = await tidemark.syncAll('--detect-deletes');
    expect(streamOf(streams, 'person')).toMatchObject({ status: 'completed', deleted: 2 });
    expect(streamOf(streams, 'whole')).toMatchObject({ status: 'completed' });
    expect(streamOf(streams, 'ITEM')).toMatchObject({ status: 'completed', deleted: 2 });
    const count = (from: string) => target.value(`SELECT count(*) FROM ${from}`);
    expect([await count('shop.person'), await count('shop.whole'), await count('shop.whole WHERE id IN (3, 4) AND _tidemark_deleted_at IS NOT NULL'), await count('depot.item')]).toEqual(['38', '40', '2', '38']);
    expect(await target.value("SELECT way FROM tidemark.delete_scan WHERE stream = 'person' AND deleted = 2")).toBe('extract');
    await source.query("INSERT INTO whole VALUES (3, 'again')");
    await tidemark.syncAll();
    expect(await target.value("SELECT string_agg(id::text, ',') FROM shop.whole WHERE _tidemark_deleted_at IS NOT NULL")).toBe('4');
  });
});
