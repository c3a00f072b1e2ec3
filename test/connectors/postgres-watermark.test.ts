/** Every EXACT hazard of a watermark that a connector alone can be driven through, and the DETECT ones that row versions make exact. */
import type pg from 'pg';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres, type PostgresDatabase } from '../support/postgres.ts';
import { enlarge, MiniEngine } from './postgres-engine.ts';

let database: PostgresDatabase;
let tables = 0;
let large = false;

/** A fresh table `(id bigint primary key, at <type>, note text)` with an index on the cursor. */
async function table(type = 'timestamptz'): Promise<string> {
  tables += 1;
  await database.query(`CREATE TABLE t${tables} (id bigint PRIMARY KEY, at ${type}, note text); CREATE INDEX ON t${tables} (at)`);
  if (large) await enlarge(database, `t${tables}`);
  return `t${tables}`;
}

const fill = (name: string, count: number, at = "timestamptz '2026-01-01' + n * interval '1 second'"): Promise<unknown> =>
  database.query(`INSERT INTO ${name} SELECT n, ${at}, 'row ' || n FROM generate_series(1, ${count}) n`);

async function transaction(...statements: readonly string[]): Promise<pg.Client> {
  const client = await database.client();
  await client.query('BEGIN');
  for (const statement of statements) await client.query(statement);
  return client;
}

describeWith({ postgres: true }, 'PostgreSQL watermark', () => {
  beforeAll(async () => {
    database = await (await PrivatePostgres.quiet()).createDatabase('watermark');
  });

  describe.each(['small', 'large'])('%s table', (size) => {
    beforeAll(() => {
      large = size === 'large';
    });

    exactCases();
  });

  describe('small table, by row versions alone', () => {
    beforeAll(() => {
      large = false;
    });

    backwardCases();
  });
});

/** After the writers are quiet and two more runs the target equals the source. */
function exactCases(): void {
  test('W01: a long transaction commits late with an older time', async () => {
    const name = await table();
    const late = await transaction(`INSERT INTO ${name} VALUES (1, now(), 'late')`);
    await database.query(`INSERT INTO ${name} VALUES (2, clock_timestamp(), 'early')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await late.query('COMMIT');
    await engine.settle();
  });

  test('W01: a transaction that had only read before the run writes after it, with the time of its beginning', async () => {
    const name = await table();
    const late = await transaction('SELECT now()');
    await fill(name, 4, 'clock_timestamp()');
    const engine = await MiniEngine.for(database, name, 'at', { overlapSeconds: 0 });
    await engine.run();
    await late.query(`INSERT INTO ${name} VALUES (99, now() - interval '1 hour', 'late')`);
    await late.query('COMMIT');
    await engine.settle();
  });

  test('W02: a lower sequence number commits after a higher one', async () => {
    const name = await table('bigint');
    const late = await transaction(`INSERT INTO ${name} VALUES (1, 1, 'late')`);
    await database.query(`INSERT INTO ${name} VALUES (2, 2, 'early')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await late.query('COMMIT');
    await engine.settle();
  });

  test('W03, W23: thousands of rows on one cursor value straddle the batches', async () => {
    const name = await table();
    await fill(name, 4503, "timestamptz '2026-01-01'");
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 1000 });
    expect(await engine.run()).toMatchObject({ read: 4503, batches: 5 });
    await engine.expectEqual();
    expect((await engine.run()).read).toBe(0);
  });

  test('W04, W27: new and changed rows with the cursor value of the watermark', async () => {
    const name = await table();
    await fill(name, 3, "timestamptz '2026-01-01'");
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (4, '2026-01-01', 'same'), (0, '2026-01-01', 'same'); UPDATE ${name} SET note = 'changed' WHERE id = 2`);
    expect((await engine.run()).read).toBe(3);
    await engine.expectEqual();
  });

  test('W05, W06: microseconds within one millisecond', async () => {
    const name = await table();
    await fill(name, 50, "timestamptz '2026-01-01 00:00:00.999500' + n * interval '1 microsecond'");
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 7 });
    expect((await engine.run()).read).toBe(50);
    await engine.expectEqual();
    expect(engine.position?.display).toBe('2026-01-01T00:00:00.99955Z');
  });

  test('W07: NULL cursors are read, filled later, cleared later, inserted later', async () => {
    const name = await table();
    await fill(name, 4);
    await database.query(`INSERT INTO ${name} VALUES (10, NULL, 'null'), (11, NULL, 'null')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await engine.expectEqual();
    await database.query(`UPDATE ${name} SET at = '2020-01-01' WHERE id = 10; UPDATE ${name} SET at = NULL, note = 'cleared' WHERE id = 1; INSERT INTO ${name} VALUES (12, NULL, 'new')`);
    await engine.settle();
  });

  test('W08: rows not yet paged get a newer cursor while they are paged', async () => {
    const name = await table();
    await fill(name, 12);
    const engine = await MiniEngine.for(database, name, 'at');
    let id = 12;
    await engine.run(async () => {
      await database.query(`UPDATE ${name} SET at = clock_timestamp(), note = 'moved' WHERE id = ${id}`);
      id -= 1;
    });
    await engine.settle();
  });

  test('W10: a far future row does not poison the watermark, and is counted each run', async () => {
    const name = await table();
    await fill(name, 3);
    await database.query(`INSERT INTO ${name} VALUES (100, '9999-01-01', 'future')`);
    const engine = await MiniEngine.for(database, name, 'at');
    expect((await engine.run()).futureRows).toBe(1);
    expect(engine.position?.display).toBe('2026-01-01T00:00:03Z');
    await database.query(`INSERT INTO ${name} VALUES (101, now(), 'now'); UPDATE ${name} SET note = 'changed' WHERE id = 100`);
    const second = await engine.run();
    expect(second).toMatchObject({ read: 2, futureRows: 1 });
    await engine.expectEqual();
  });

  test('W10: a future row is set right, and a row of now is sent to the future', async () => {
    const name = await table();
    await fill(name, 9);
    await database.query(`INSERT INTO ${name} VALUES (100, '9999-01-01', 'future')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`UPDATE ${name} SET at = '2025-06-06', note = 'right' WHERE id = 100; UPDATE ${name} SET at = '8888-01-01' WHERE id = 2`);
    expect(await engine.poll()).toBe(true);
    await engine.settle();
  });

  test('W10, X23: a row an hour ahead, within the limit, hides no row of now', async () => {
    const name = await table();
    await fill(name, 3);
    await database.query(`INSERT INTO ${name} VALUES (100, now() + interval '1 hour', 'ahead')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (101, now(), 'now')`);
    expect((await engine.run()).read).toBe(1);
    await engine.expectEqual();
  });

  test.each(['timestamptz', 'timestamp', 'date'])('W11: infinity and -infinity as %s', async (type) => {
    const name = await table(type);
    await database.query(`INSERT INTO ${name} VALUES (1, 'infinity', 'a'), (2, '-infinity', 'b'), (3, '2026-01-01', 'c')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (4, 'infinity', 'd'), (5, '-infinity', 'e'), (6, '2026-01-02', 'f'), (7, NULL, 'g')`);
    await engine.settle();
    expect(engine.position?.display).toMatch(/^2026-01-02/);
  });

  test.each(['float8', 'numeric'])('W11: NaN and infinity as %s', async (type) => {
    const name = await table(type);
    await database.query(`INSERT INTO ${name} VALUES (1, 'NaN', 'a'), (2, 'infinity', 'b'), (3, 1.5, 'c'), (4, '-infinity', 'd')`);
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 1 });
    await engine.run();
    expect(engine.position?.display).toBe('1.5');
    await database.query(`INSERT INTO ${name} VALUES (5, 'NaN', 'e'), (6, 2.5, 'f'), (7, '-infinity', 'g')`);
    await engine.settle();
  });

  test('W12: a commit lands behind the page that was read', async () => {
    const name = await table();
    await fill(name, 9);
    const late = await transaction(`INSERT INTO ${name} VALUES (100, '2026-01-01 00:00:00.5', 'late')`);
    const engine = await MiniEngine.for(database, name, 'at');
    let done = false;
    await engine.run(async () => {
      if (!done) await late.query('COMMIT');
      done = true;
    });
    await engine.settle();
  });

  test('W14: text keys with backslashes, quotes, nothing, cases and other scripts', async () => {
    await database.query(`CREATE TABLE texts_${large} (id text PRIMARY KEY, at timestamptz); INSERT INTO texts_${large} SELECT k, '2026-01-01' FROM unnest(ARRAY['', E'\\\\', E'\\\\N', E'\\\\.', '''', '"', 'a', 'A', 'ä', 'Ä', 'ß', 'ключ', '日本', E'tab\\there', E'line\\nbreak', '$1', '%s', 'ab ', 'ab']) k`);
    const engine = await MiniEngine.for(database, `texts_${large}`, 'at', { rowsMax: 2 });
    expect((await engine.run()).read).toBe(19);
    await engine.expectEqual();
  });

  test('W15: 64-bit cursors and keys above 2^53', async () => {
    const name = await table('bigint');
    await database.query(`INSERT INTO ${name} SELECT 9007199254740990 + n, 9007199254740990 + n, 'x' FROM generate_series(1, 10) n`);
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 3 });
    expect((await engine.run()).read).toBe(10);
    expect(engine.position?.display).toBe('9007199254741000');
    await engine.expectEqual();
  });

  test.each([
    ['bigint', 'n - 500'],
    ['numeric', '(n - 500) / 7.0'],
    ['float8', '(n - 500) / 7.0'],
    ['timestamptz', "timestamptz '0003-01-01 BC' + n * interval '1 day'"],
    ['date', "date '0003-01-01 BC' + n"],
    ['text', "chr(40 + n % 80) || n"],
    ['uuid', 'md5(n::text)::uuid'],
  ])('the order of %s is the order of its values, not of their texts', async (type, value) => {
    const name = await table(type);
    await database.query(`INSERT INTO ${name} SELECT n, ${value}, 'x' FROM generate_series(1, 1200) n`);
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 100 });
    expect(await engine.run()).toMatchObject({ read: 1200, batches: 12 });
    await engine.expectEqual();
    const highest = await database.value(`SELECT at::text FROM ${name} t ORDER BY t.at ${type === 'text' ? 'COLLATE "C" ' : ''}DESC LIMIT 1`);
    expect(engine.position?.display?.replace('T', ' ').replace('Z', '+00')).toBe(highest);
  });

  test('W19: an empty first run, then rows at and before the epoch', async () => {
    const name = await table();
    const engine = await MiniEngine.for(database, name, 'at');
    expect((await engine.run()).read).toBe(0);
    expect(engine.position?.display).toBeNull();
    await database.query(`INSERT INTO ${name} VALUES (1, '1970-01-01', 'epoch'), (2, '1969-12-31', 'before'), (3, '0044-03-15 BC', 'long before')`);
    await engine.settle();
  });

  test('W20: runs without new rows neither move nor reset the watermark, and read nothing', async () => {
    const name = await table();
    await fill(name, 5);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    const before = engine.position?.display;
    for (let i = 0; i < 3; i += 1) expect((await engine.run()).read).toBe(0);
    expect(engine.position?.display).toBe(before);
    await database.query(`DELETE FROM ${name}`);
    await engine.run();
    expect(engine.position?.display).toBe(before);
  });

  test('W21: rows of the same day on a cursor of days', async () => {
    const name = await table('date');
    await database.query(`INSERT INTO ${name} VALUES (1, current_date, 'morning')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (2, current_date, 'noon'), (3, current_date, 'night')`);
    expect((await engine.run()).read).toBe(2);
    await engine.expectEqual();
  });

  test('W22: numbers as text, 9 and then 10', async () => {
    const name = await table('text');
    await database.query(`INSERT INTO ${name} VALUES (1, '8', 'a'), (2, '9', 'b')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (3, '10', 'c')`);
    await engine.settle();
  });

  test('W24: rows that were rolled back never arrive', async () => {
    const name = await table();
    const undone = await transaction(`INSERT INTO ${name} VALUES (1, now(), 'undone')`);
    await database.query(`INSERT INTO ${name} VALUES (2, now(), 'kept')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await undone.query('ROLLBACK');
    await engine.settle();
    expect(engine.target.size).toBe(1);
  });

  test('X02: the role gets another time zone and date style between runs', async () => {
    const name = await table();
    await fill(name, 4);
    await database.query(`CREATE ROLE zoned SUPERUSER LOGIN PASSWORD 'zoned'`);
    const engine = await MiniEngine.for(database, name, 'at', { login: { user: 'zoned', password: 'zoned' } });
    await engine.run();
    await database.query(`ALTER ROLE zoned SET timezone = 'Asia/Kolkata'; ALTER ROLE zoned SET datestyle = 'SQL, DMY'`);
    await database.query(`INSERT INTO ${name} VALUES (9, '2026-12-11 10:09:08.7', 'x')`);
    const other = await MiniEngine.for(database, name, 'at', { login: { user: 'zoned', password: 'zoned' } });
    other.position = engine.position;
    for (const [key, line] of engine.target) other.target.set(key, line);
    await other.settle();
    await other.session.close();
    await engine.session.close();
    await database.query('DROP ROLE zoned');
  });

  test('X03: a table dropped and made again is another one', async () => {
    const name = await table();
    await fill(name, 4);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`DROP TABLE ${name}; CREATE TABLE ${name} (id bigint PRIMARY KEY, at timestamptz, note text)`);
    await expect(engine.run()).rejects.toMatchObject({ code: 'source.history_lost' });
    await expect(engine.poll()).rejects.toMatchObject({ code: 'source.history_lost' });
  });

  test('X04: rows move between partitions, partitions are attached with old rows', async () => {
    await database.query('DROP TABLE IF EXISTS parts');
    await database.query(`CREATE TABLE parts (id bigint, region int, at timestamptz, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
      CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1); CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
      CREATE TABLE parts_3 (LIKE parts INCLUDING ALL); INSERT INTO parts_3 SELECT n, 3, '2020-01-01' FROM generate_series(100, 120) n;
      INSERT INTO parts SELECT n, 1, timestamptz '2026-01-01' + n * interval '1 s' FROM generate_series(1, 8) n`);
    const engine = await MiniEngine.for(database, 'parts', 'at', { key: ['id'] });
    await engine.run();
    await engine.expectEqual();
    await database.query('UPDATE parts SET region = 2 WHERE id = 3');
    await engine.settle();
    await database.query('ALTER TABLE parts ATTACH PARTITION parts_3 FOR VALUES IN (3)');
    expect(await engine.poll()).toBe(true);
    await engine.settle();
    expect(engine.target.size).toBe(29);
  });

  test('X08: VACUUM FREEZE between runs neither loses rows nor reads them again', async () => {
    const name = await table();
    await fill(name, 20);
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 100 });
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (100, NULL, 'none'), (101, now(), 'high')`);
    await database.query(`VACUUM FREEZE ${name}`);
    expect((await engine.run()).read).toBe(2);
    await database.query(`VACUUM FULL ${name}`);
    expect((await engine.run()).read).toBe(0);
    await engine.expectEqual();
  });

  test('X09: a prepared transaction that is held over several runs', async () => {
    const name = await table();
    await fill(name, 4);
    const engine = await MiniEngine.for(database, name, 'at');
    const client = await transaction(`INSERT INTO ${name} VALUES (50, '2000-01-01', 'prepared')`, `PREPARE TRANSACTION 'held'`);
    await client.end();
    await engine.run();
    await fill(name, 0);
    await engine.run();
    await database.query(`COMMIT PREPARED 'held'`);
    await engine.settle();
  });

  test('X10: rows of a savepoint', async () => {
    const name = await table();
    const client = await transaction(`INSERT INTO ${name} VALUES (1, '2000-01-01', 'top')`, 'SAVEPOINT a', `INSERT INTO ${name} VALUES (2, '2000-01-02', 'sub')`, 'RELEASE a', 'SAVEPOINT b', `INSERT INTO ${name} VALUES (3, '2000-01-03', 'sub')`);
    await database.query(`INSERT INTO ${name} VALUES (4, now(), 'other')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await client.query('COMMIT');
    await engine.settle();
    expect(engine.target.size).toBe(4);
  });
}

/** No cursor can see these; row versions do. */
function backwardCases(): void {
  test('W09, W26: cursor values that go back', async () => {
    const name = await table();
    await fill(name, 5);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (50, '1999-01-01', 'skewed'); UPDATE ${name} SET at = '1998-01-01', note = 'back' WHERE id = 5`);
    expect(await engine.poll()).toBe(true);
    await engine.settle();
  });

  test('W13: the hour that a local clock has twice', async () => {
    const name = await table('timestamp');
    await database.query(`INSERT INTO ${name} VALUES (1, '2025-10-26 02:30', 'summer')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (2, '2025-10-26 02:10', 'winter')`);
    await engine.settle();
  });
}
