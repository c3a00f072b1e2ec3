/** Rows from PostgreSQL to PostgreSQL in the frames that the source gave them, through both real servers. */
import { PassThrough, type Transform } from 'node:stream';
import type pg from 'pg';
import { manifest } from '../../connectors/postgres/manifest.ts';
import type { RowFormat, SourceSession } from '../../connectors/connector.ts';
import type { Session } from '../../destinations/postgres/session.ts';
import { copyRows } from '../../pipeline/copy-rows.ts';
import type { OnProgress } from '../../pipeline/engine.ts';
import { openSession, readOf } from '../conformance/place.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';

const WHOLE = { from: null, to: null, rowEstimate: -1 };
const MEBIBYTE = 1 << 20;
const content = (table: string): string => `SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '' ORDER BY id)), '') FROM ${table} t`;

let source: PostgresDatabase;
let target: PostgresDatabase;
let session: SourceSession;
let into: pg.Client;

async function copyInto(table: string, format: RowFormat, onProgress: OnProgress = () => undefined, mask: Transform | null = null) {
  const read = await session.readPart(await readOf(session, `public.${table}`, null), WHOLE, format);
  expect(read.keepFrames).toBeDefined();
  return copyRows(read, into as unknown as Session, `COPY ${table} FROM STDIN${format === 'copy-binary' ? ' (FORMAT binary)' : ''}`, new AbortController().signal, onProgress, mask);
}

async function makeTable(table: string, rows: string): Promise<void> {
  await source.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v text); INSERT INTO ${table} ${rows}; ANALYZE ${table}`);
  await target.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v text)`);
}

describeWith({ postgres: true }, 'rows in frames', () => {
  beforeAll(async () => {
    [source, target] = [await createDatabase('frames'), await createDatabase('framed')];
    const { host, port, user, password } = source.server;
    session = await openSession(manifest, { host, port, user, password, database: source.name });
    into = await target.client();
  });

  test.each<RowFormat>(['copy-text', 'copy-binary'])('rows of a byte and of megabytes arrive, %s', async (format) => {
    const table = `mixed_${format.slice(5)}`;
    await makeTable(table, `SELECT n, CASE WHEN n % 500 = 7 THEN repeat(chr(64 + n % 50), 3 * ${MEBIBYTE}) WHEN n % 3 = 0 THEN NULL ELSE repeat('é' || n, n % 90) END FROM generate_series(1, 3000) n`);
    const copied = await copyInto(table, format);
    expect(copied.rows).toBe(3000);
    expect(await target.value(content(table))).toBe(await source.value(content(table)));
  });

  test('bytes are counted without frames, and the same rows have the same hash', async () => {
    await makeTable('counted', `SELECT n, repeat('x', n % 40) FROM generate_series(1, 5000) n`);
    const first = await copyInto('counted', 'copy-text');
    await target.query('TRUNCATE counted');
    const second = await copyInto('counted', 'copy-text');
    expect(first.bytes).toBe(Number(await source.value(`SELECT sum(length(id || E'\\t' || v || E'\\n')) FROM counted`)));
    expect(second.hash).toBe(first.hash);
  });

  test('rows in frames leave no garbage, rows that pass a mask do', async () => {
    await makeTable('recycled', `SELECT n, repeat('r', 900) FROM generate_series(1, 5000) n`);
    const garbage = async (mask: Transform | null): Promise<[number, number]> => {
      await target.query('TRUNCATE recycled');
      let last = -1;
      const { bytes } = await copyInto('recycled', 'copy-text', (progress) => (last = progress.garbage), mask);
      return [last, bytes];
    };
    expect((await garbage(null))[0]).toBe(0);
    const [masked, bytes] = await garbage(new PassThrough());
    expect(masked).toBe(bytes);
  });

  test('a table without rows', async () => {
    await makeTable('nothing', 'SELECT 1, NULL WHERE false');
    expect(await copyInto('nothing', 'copy-binary')).toMatchObject({ rows: 0 });
    expect(await target.value('SELECT count(*) FROM nothing')).toBe('0');
  });

  test('a source that dies in the middle of a row leaves the line to the destination usable', async () => {
    await makeTable('cut', `SELECT n, repeat('y', 2 * ${MEBIBYTE}) FROM generate_series(1, 60) n`);
    let told = false;
    const killed: Promise<unknown>[] = [];
    const copying = copyInto('cut', 'copy-binary', () => {
      if (told) return;
      told = true;
      killed.push(source.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'`));
    });
    await expect(copying).rejects.toMatchObject({ code: 'source.connection_lost' });
    await Promise.all(killed);
    expect((await into.query('SELECT count(*)::int AS n FROM cut')).rows).toEqual([{ n: '0' }]);
  });

  test('a destination that refuses a row ends the copy, and its line is usable', async () => {
    const { host, port, user, password } = source.server;
    session = await openSession(manifest, { host, port, user, password, database: source.name });
    await makeTable('refused', `SELECT n, repeat('z', 500) FROM generate_series(1, 200000) n`);
    await target.query('ALTER TABLE refused ADD CHECK (id < 150)');
    await expect(copyInto('refused', 'copy-binary')).rejects.toMatchObject({ code: '23514' });
    expect((await into.query('SELECT count(*)::int AS n FROM refused')).rows).toEqual([{ n: '0' }]);
    await session.server();
  });
});
