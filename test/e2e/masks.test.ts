/**
 * Masks from end to end: what arrives, that unchanged rows stay unchanged, and that no clear value of a masked column is found in any file
 * of the destination's data directory, WAL included: of good rows, of rows that the connector, a type or the target refused, and of masked keys.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describeWith } from '../support/describe-with.ts';
import { filesWith } from '../support/files-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import { createDatabase, PrivatePostgres, type PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';

const KEY = randomBytes(32).toString('base64');

const configuration = (source: PostgresDatabase, mariadb: string) => `
destination: { url: "\${DESTINATION_URL}" }
keys: { national-id: { env: KEY_NATIONAL_ID } }
defaults: { poll_interval: 365d, bad_rows_max: 1.0, batch_rows: 40 }
sources:
  - id: bank
    kind: postgres
    connection: ${source.connection}
    streams:
      - table: person
        cursor: changed
        mask: { name: redact, nida: { hmac: national-id }, phone: partial, born: date_year, note: { encrypt: national-id }, pin: drop }
      - { table: keyed, cursor: changed, mask: { nida: { hmac: national-id } } }
      - { table: nocursor, mask: { note: { encrypt: national-id } } }
      - { table: guarded, cursor: changed, mask: { note: { hmac: national-id } } }
  - id: maria
    kind: mariadb
    connection: ${mariadb}
    streams: [{ table: refused, cursor: changed, mask: { nida: { hmac: national-id }, born: date_year } }]
`;

describeWith({ postgres: true, mariadb: true, temporal: true }, 'masks', () => {
  let source: PostgresDatabase;
  let mariadb: Awaited<ReturnType<typeof createMariadb>>;
  let server: PrivatePostgres;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  beforeAll(async () => {
    source = await createDatabase('bank');
    mariadb = await createMariadb('bank');
    server = await PrivatePostgres.start();
    target = await server.createDatabase('target');
    await source.query(`
      CREATE TABLE person (id bigint PRIMARY KEY, name varchar(80), nida text, phone text, born date, note text, pin text, city text, changed timestamptz NOT NULL DEFAULT now());
      CREATE TABLE keyed (nida text PRIMARY KEY, city text, changed timestamptz NOT NULL DEFAULT now());
      CREATE TABLE nocursor (code text PRIMARY KEY, note text);
      CREATE TABLE guarded (id int PRIMARY KEY, note text, city text, changed timestamptz NOT NULL DEFAULT now());
      INSERT INTO person SELECT n, 'CLEARNAME' || n, 'CLEARNIDA' || n, '+255CLEARPHONE' || (10000 + n), '1980-05-17'::date + n, 'CLEARNOTE same for all', 'CLEARPIN', 'City' || n, '2024-01-01' FROM generate_series(1, 200) n;
      INSERT INTO person VALUES (1000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2024-01-01');
      INSERT INTO keyed SELECT 'CLEARNIDA' || n, 'City' || n, timestamptz '2024-01-01' + n * interval '1 s' FROM generate_series(1, 200) n;
      INSERT INTO nocursor SELECT 'code' || n, 'CLEARNOTE' || n FROM generate_series(1, 20) n;
      INSERT INTO guarded SELECT n, 'CLEARNOTE' || n, 'City' || n, '2024-01-01' FROM generate_series(1, 20) n`);
    await mariadb.query(`CREATE TABLE refused (id int PRIMARY KEY, nida varchar(40), born date, v varchar(40), changed datetime(6) NOT NULL);
      INSERT INTO refused VALUES (1, 'CLEARNIDA1', '1980-05-17', 'fine', '2024-01-01'), (2, 'CLEARNIDA2', '1980-05-17', 'no \\0 text', '2024-01-01'), (3, 'CLEARNIDA3 \\0', '1980-05-17', 'fine', '2024-01-01')`);
    tidemark = await Tidemark.start(configuration(source, mariadb.connection), { ...source.secrets, ...mariadb.secrets, DESTINATION_URL: target.url, KEY_NATIONAL_ID: KEY });
    await tidemark.apply();
    await tidemark.syncAll();
  });

  test('each mask leaves what it says', async () => {
    const [row] = await target.query('SELECT * FROM bank.person WHERE id = 7');
    expect(row).toMatchObject({ name: '[redacted]', nida: expect.stringMatching(/^h1\.[0-9a-f]{8}\.[0-9a-f]{64}$/), phone: '****0007', born: '1980-01-01', note: expect.stringMatching(/^e1\./), city: 'City7' });
    expect(row).not.toHaveProperty('pin');
    expect(await target.query('SELECT name, nida, phone, born, note FROM bank.person WHERE id = 1000')).toEqual([{ name: null, nida: null, phone: null, born: null, note: null }]);
    expect(await target.value('SELECT count(DISTINCT note) FROM bank.person')).toBe('200');
    expect(await target.value("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'bank.person'::regclass AND attname = 'born'")).toBe('date');
  });

  test('the same value joins across tables and sources', async () => {
    expect(await target.value('SELECT count(*) FROM bank.person p JOIN bank.keyed k USING (nida, city)')).toBe('200');
    expect(await target.value('SELECT p.id FROM maria.refused r JOIN bank.person p USING (nida) WHERE r.id = 1')).toBe('1');
  });

  test('a second sync writes nothing; changed rows follow, by their masked key too', async () => {
    const again = await tidemark.syncAll();
    expect(again.map(({ stream, written, status }) => [stream, written, status])).toEqual(again.map(({ stream }) => [stream, 0, 'completed']));
    await source.query(`UPDATE keyed SET city = 'moved', changed = clock_timestamp() WHERE nida = 'CLEARNIDA9'; INSERT INTO keyed VALUES ('CLEARNIDA999', 'new', clock_timestamp());
      UPDATE person SET city = 'moved', changed = clock_timestamp() WHERE id <= 100; UPDATE nocursor SET note = 'CLEARNOTE new' WHERE code = 'code1'`);
    const streams = await tidemark.syncAll();
    expect(streamOf(streams, 'keyed')).toMatchObject({ written: 2, status: 'completed' });
    expect(streamOf(streams, 'person')).toMatchObject({ written: 100, status: 'completed' });
    expect(await target.query("SELECT city, count(*) AS n FROM bank.keyed WHERE city IN ('moved', 'new') GROUP BY city ORDER BY city")).toEqual([{ city: 'moved', n: '1' }, { city: 'new', n: '1' }]);
    expect(await target.value('SELECT count(*) FROM bank.keyed')).toBe('201');
  });

  test('no clear value of a masked column is in any file of the destination, whatever became of its row', async () => {
    expect(await target.value("SELECT count(*) FROM tidemark.quarantine WHERE stream = 'refused' AND replayed_at IS NULL")).toBe('2');
    // A constraint and a trigger of the target refuse rows: the server writes their values into its log.
    await target.query("ALTER TABLE bank.guarded ADD CONSTRAINT no_more CHECK (city <> 'refused') NOT VALID");
    await source.query("UPDATE guarded SET city = 'refused', note = 'CLEARNOTE of a failing row', changed = clock_timestamp() WHERE id = 3");
    const { json } = await tidemark.run('sync', 'bank', '--stream', 'guarded', '--json');
    expect(streamOf(json?.streams, 'guarded')).toMatchObject({ status: 'parked', error: { code: 'target.constraint' } });
    await target.query('CHECKPOINT');
    // The search finds what is there: columns without a mask.
    expect(filesWith(server.server.dataFolder, 'City7').length).toBeGreaterThan(0);
    for (const clear of ['CLEARNAME', 'CLEARNIDA', 'CLEARPHONE', 'CLEARNOTE', 'CLEARPIN', KEY]) expect([clear, filesWith(server.server.dataFolder, clear)]).toEqual([clear, []]);
    expect(readFileSync(server.server.log, 'utf8')).not.toContain('CLEAR');
    for (const [file, text] of tidemark.printed()) expect([file, text.includes('CLEAR'), text.includes(KEY)]).toEqual([file, false, false]);
  });

  test('another mask builds the target anew, and the older build does not stay', async () => {
    const text = configuration(source, mariadb.connection);
    tidemark.configure(text.replace('{ note: { encrypt: national-id } } }', '{ code: { hmac: national-id }, note: redact } }').replace('nida: { hmac: national-id }, phone', 'nida: redact, phone'));
    // A changed mask rewrites the target: until it is approved the stream goes on as it was.
    const { code, stdout } = await tidemark.run('apply', '--yes', '--json');
    const { refused } = JSON.parse(stdout) as { refused: string[] };
    expect({ code, refused: refused.length }).toEqual({ code: 1, refused: 2 });
    expect(streamOf(await tidemark.must('sync', 'bank', '--stream', 'person', '--json').then(({ streams }) => streams), 'person')).toMatchObject({ status: 'completed', written: 0 });
    await tidemark.must('apply', '--yes', '--json', '--approve', ...refused);
    const { json } = await tidemark.run('sync', 'bank', '--json');
    expect(streamOf(json?.streams, 'person')).toMatchObject({ status: 'completed', written: 201 });
    expect(await target.value("SELECT count(*) FROM bank.person WHERE nida <> '[redacted]'")).toBe('0');
    expect(await target.query("SELECT relname FROM pg_class WHERE relnamespace = 'tidemark_stage'::regnamespace AND relkind = 'r' AND relname LIKE 'g%person'")).toEqual([]);
    tidemark.configure(text);
  });

  test.each([undefined, 'c2hvcnQ=', Buffer.alloc(32, 1).toString('base64')])('a worker with a bad key (%p) starts no stream that needs it, and names the key', async (bad) => {
    const destination = await createDatabase('target');
    const other = await Tidemark.start(configuration(source, mariadb.connection), { ...source.secrets, ...mariadb.secrets, DESTINATION_URL: destination.url, KEY_NATIONAL_ID: KEY }, 0);
    other.startWorker({ KEY_NATIONAL_ID: bad });
    await other.workerReady(1);
    await other.apply();
    const { code, json } = await other.run('sync', 'bank', '--json');
    expect(code).toBe(1);
    expect(streamOf(json?.streams, 'person')).toMatchObject({ status: 'parked', read: 0, error: { code: 'config.key_missing', message: expect.stringContaining('"national-id"') } });
  });
});
