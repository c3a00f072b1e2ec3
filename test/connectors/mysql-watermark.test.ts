/** Every EXACT hazard of a watermark that applies to MySQL and MariaDB, driven through the connector alone. */
import type mysql from 'mysql2/promise';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb, quietMariadb, type MariadbDatabase } from '../support/mariadb.ts';
import { waitFor } from '../support/processes.ts';
import { MiniEngine, openSession } from './mysql-engine.ts';

let database: MariadbDatabase;
let tables = 0;

/** A fresh table `(id bigint primary key, at <type>, note text)` with an index on the cursor. */
async function table(type = 'datetime(6)', options = ''): Promise<string> {
  tables += 1;
  await database.query(`CREATE TABLE t${tables} (id bigint PRIMARY KEY, at ${type} NULL, note varchar(60), KEY (at)) ${options}`);
  return `t${tables}`;
}

const fill = (name: string, count: number, at = "'2026-01-01' + INTERVAL seq SECOND"): Promise<unknown> =>
  database.query(`INSERT INTO ${name} SELECT seq, ${at}, CONCAT('row ', seq) FROM seq_1_to_${count}`);

async function transaction(...statements: readonly string[]): Promise<mysql.Connection> {
  const client = await database.client();
  await client.query('BEGIN');
  for (const statement of statements) await client.query(statement);
  return client;
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

describeWith({ mariadb: true }, 'MariaDB watermark', () => {
  beforeAll(async () => {
    database = await createMariadb('watermark', await quietMariadb());
  });

  test.each(["'2026-01-02'", 'UTC_TIMESTAMP(6)'])('W01: a long transaction commits late with an older time (%s)', async (at) => {
    const name = await table();
    await fill(name, 5);
    const late = await transaction(`INSERT INTO ${name} VALUES (100, ${at}, 'late')`, `UPDATE ${name} SET note = 'late' WHERE id = 2`);
    await database.query(`INSERT INTO ${name} VALUES (200, ${at} + INTERVAL 1 SECOND, 'early')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await engine.run();
    expect(await engine.poll()).toBe(false);
    await late.query('COMMIT');
    expect(await engine.poll()).toBe(true);
    await engine.settle();
    expect(engine.guarantee).toBe('exact');
  });

  test('W01: a transaction that had only read before the run writes after it, with a time of its beginning', async () => {
    const name = await table();
    await fill(name, 4);
    const late = await transaction(`SELECT * FROM ${name}`);
    const engine = await MiniEngine.for(database, name, 'at', { overlapSeconds: 0 });
    await engine.run();
    await late.query(`INSERT INTO ${name} VALUES (99, '2026-01-01', 'late')`);
    await late.query('COMMIT');
    await engine.settle();
  });

  test('W01: a statement that runs while the run reads, and fixed its time before', async () => {
    const name = await table();
    await fill(name, 3);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    const client = await database.client();
    const running = client.query(`INSERT INTO ${name} SELECT 50, UTC_TIMESTAMP(6), SLEEP(2)`);
    await waitFor('the statement to sleep', async () => ((await database.value(`SELECT count(*) FROM information_schema.processlist WHERE id = ${client.threadId} AND state = 'User sleep'`)) === '1' ? true : null));
    await database.query(`INSERT INTO ${name} VALUES (60, UTC_TIMESTAMP(6), 'after')`);
    await engine.run();
    await running;
    await engine.settle();
  });

  test('reaching back goes no further than the run before the transaction, and happens once', async () => {
    const name = await table();
    await fill(name, 500);
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 1000 });
    await engine.run();
    await wait(2100);
    const late = await transaction(`INSERT INTO ${name} VALUES (1000, '2026-01-02', 'late')`);
    await database.query(`INSERT INTO ${name} VALUES (1001, '2026-01-03', 'early')`);
    expect((await engine.run()).read).toBe(2);
    expect((await engine.run()).read).toBe(1);
    await late.query('COMMIT');
    expect((await engine.run()).read).toBe(3);
    expect((await engine.run()).read).toBe(1);
    await engine.expectEqual();
  });

  test('W02: a lower number commits after a higher one', async () => {
    tables += 1;
    const name = `t${tables}`;
    await database.query(`CREATE TABLE ${name} (id bigint AUTO_INCREMENT PRIMARY KEY, note text)`);
    await database.query(`INSERT INTO ${name} (note) VALUES ('first')`);
    const late = await transaction(`INSERT INTO ${name} (note) VALUES ('late')`);
    await database.query(`INSERT INTO ${name} (note) VALUES ('early')`);
    const engine = await MiniEngine.for(database, name, 'id');
    await engine.run();
    await late.query('COMMIT');
    await engine.settle();
  });

  test('W03, W23: thousands of rows on one cursor value straddle the batches', async () => {
    const name = await table();
    await fill(name, 4503, "'2026-01-01'");
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 1000 });
    expect(await engine.run()).toMatchObject({ read: 4503, batches: 5 });
    await engine.expectEqual();
    expect(await engine.poll()).toBe(false);
  });

  test('W04, W27: new and changed rows with the cursor value of the watermark', async () => {
    const name = await table();
    await fill(name, 3, "'2026-01-01'");
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (4, '2026-01-01', 'same'), (0, '2026-01-01', 'same'); UPDATE ${name} SET note = 'changed' WHERE id = 2`);
    expect(await engine.poll()).toBe(true);
    await engine.settle();
  });

  test('W05, W06: microseconds within one millisecond', async () => {
    const name = await table();
    await fill(name, 50, "'2026-01-01 00:00:00.999500' + INTERVAL seq MICROSECOND");
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 7 });
    expect((await engine.run()).read).toBe(50);
    await engine.expectEqual();
    expect(engine.position?.display).toBe('2026-01-01T00:00:00.999550');
  });

  test('W07: NULL cursors and zero dates are read, filled later, cleared later, inserted later', async () => {
    const name = await table();
    await fill(name, 4);
    await database.query(`INSERT INTO ${name} VALUES (10, NULL, 'null'), (11, NULL, 'null')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await engine.expectEqual();
    await database.query(`UPDATE ${name} SET at = '2026-01-03' WHERE id = 10; UPDATE ${name} SET at = NULL, note = 'cleared' WHERE id = 1; INSERT INTO ${name} VALUES (12, NULL, 'new')`);
    await engine.settle();
    await database.query(`UPDATE ${name} SET note = 'changed' WHERE id = 11`);
    expect(await engine.poll()).toBe(true);
    await engine.settle();
  });

  test('rows with a zero date are read in each run, once', async () => {
    const name = await table('date');
    const client = await database.client();
    await client.query("SET sql_mode = ''");
    await client.query(`INSERT INTO ${name} VALUES (1, '0000-00-00', 'a'), (2, '2026-01-01', 'b')`);
    const engine = await MiniEngine.for(database, name, 'at', { types: { zero_dates: 'null' } });
    expect((await engine.run()).read).toBe(2);
    await client.query(`INSERT INTO ${name} VALUES (3, '0000-00-00', 'c')`);
    expect(await engine.poll()).toBe(true);
    expect((await engine.run()).read).toBe(3);
  });

  test('W08: rows not yet paged get a newer cursor while they are paged', async () => {
    const name = await table();
    await fill(name, 12);
    const engine = await MiniEngine.for(database, name, 'at');
    let id = 12;
    await engine.run(async () => {
      await database.query(`UPDATE ${name} SET at = UTC_TIMESTAMP(6), note = 'moved' WHERE id = ${id}`);
      id -= 1;
    });
    expect(await engine.poll()).toBe(true);
    await engine.settle();
  });

  test('a row read by a late batch changes after the first: the poll says so', async () => {
    const name = await table();
    await fill(name, 6, "'2026-01-01'");
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run(async () => { await database.query(`UPDATE ${name} SET note = 'changed' WHERE id = 1`); });
    expect(await engine.poll()).toBe(true);
    await engine.settle();
  });

  test('W10: a far future row does not poison the watermark, and is counted each run', async () => {
    const name = await table();
    await fill(name, 3);
    await database.query(`INSERT INTO ${name} VALUES (100, '9999-01-01', 'future')`);
    const engine = await MiniEngine.for(database, name, 'at');
    expect((await engine.run()).futureRows).toBe(1);
    expect(engine.position?.display).toBe('2026-01-01T00:00:03.000000');
    await database.query(`INSERT INTO ${name} VALUES (101, UTC_TIMESTAMP(6), 'now'); UPDATE ${name} SET note = 'changed' WHERE id = 100`);
    expect((await engine.run()).futureRows).toBe(1);
    await engine.expectEqual();
  });

  test('W10, X23: a row an hour ahead, within the limit, hides no row of now', async () => {
    const name = await table('timestamp(6)');
    await fill(name, 3);
    await database.query(`INSERT INTO ${name} VALUES (100, NOW(6) + INTERVAL 1 HOUR, 'ahead')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (101, NOW(6), 'now')`);
    expect(await engine.poll()).toBe(true);
    await engine.run();
    await engine.run();
    expect(engine.target.size).toBe(5);
  });

  test('W12: a commit lands behind the page that was read', async () => {
    const name = await table();
    await fill(name, 9);
    const late = await transaction(`INSERT INTO ${name} VALUES (100, '2026-01-01 00:00:01.5', 'late')`);
    const engine = await MiniEngine.for(database, name, 'at');
    let done = false;
    await engine.run(async () => {
      if (!done) await late.query('COMMIT');
      done = true;
    });
    await engine.settle();
  });

  test('W14: text keys with backslashes, quotes, nothing, cases and other scripts, in a collation of its own', async () => {
    await database.query(`CREATE TABLE texts (id varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_swedish_ci PRIMARY KEY, at datetime);
      INSERT INTO texts VALUES ('', now()), ('\\\\', now()), ('\\\\N', now()), ('\\\\.', now()), ('''', now()), ('"', now()), ('a', now()), ('B', now()), ('å', now()), ('Zürich', now()), ('ключ', now()), ('日本', now()), ('🏦', now()), ('tab\\there', now()), ('line\\nbreak', now()), ('$1', now()), ('%s', now())`);
    await database.query("UPDATE texts SET at = '2026-01-01'");
    const engine = await MiniEngine.for(database, 'texts', 'at', { rowsMax: 2 });
    expect((await engine.run()).read).toBe(17);
    await engine.expectEqual();
    const whole = await MiniEngine.for(database, 'texts', null, { rowsMax: 2 });
    expect(await whole.build()).toBeGreaterThan(8);
    await whole.expectEqual();
  });

  test('W15: 64-bit cursors and keys above 2^53, unsigned too', async () => {
    const name = await table('bigint unsigned');
    await database.query(`INSERT INTO ${name} SELECT 9007199254740990 + seq, 18446744073709551600 + seq, 'x' FROM seq_1_to_10`);
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 3 });
    expect((await engine.run()).read).toBe(10);
    expect(engine.position?.display).toBe('18446744073709551610');
    await engine.settle();
  });

  test('W19: an empty first run, then rows at and before the epoch', async () => {
    const name = await table();
    const engine = await MiniEngine.for(database, name, 'at');
    expect((await engine.run()).read).toBe(0);
    expect(engine.position?.display).toBeNull();
    expect(await engine.poll()).toBe(false);
    await database.query(`INSERT INTO ${name} VALUES (1, '1970-01-01', 'epoch'), (2, '1000-12-31', 'before')`);
    expect(await engine.poll()).toBe(true);
    await engine.settle();
  });

  test('W20: runs without new rows neither move nor reset the watermark', async () => {
    const name = await table();
    await fill(name, 5);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    const before = engine.position?.display;
    for (let run = 0; run < 3; run += 1) expect((await engine.run()).read).toBe(1);
    expect(engine.position?.display).toBe(before);
    await database.query(`DELETE FROM ${name}`);
    await engine.run();
    expect(engine.position?.display).toBe(before);
    await database.query(`INSERT INTO ${name} VALUES (9, '2026-01-09', 'again')`);
    await engine.run();
    expect(engine.target.has('9')).toBe(true);
  });

  test('W21: rows of the same day on a cursor of days', async () => {
    const name = await table('date');
    await database.query(`INSERT INTO ${name} VALUES (1, CURRENT_DATE, 'morning')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (2, CURRENT_DATE, 'noon'), (0, CURRENT_DATE, 'night')`);
    expect(await engine.poll()).toBe(true);
    await engine.settle();
  });

  test('W22, W26: a text cursor is refused', async () => {
    const name = await table('varchar(20)');
    const engine = await MiniEngine.for(database, name, 'at');
    await expect(engine.run()).rejects.toMatchObject({ code: 'source.cursor_unusable' });
  });

  test('W24: rows that were rolled back never arrive', async () => {
    const name = await table();
    const undone = await transaction(`INSERT INTO ${name} VALUES (1, '2026-01-01', 'undone')`);
    await database.query(`INSERT INTO ${name} VALUES (2, '2026-01-02', 'kept')`);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await undone.query('ROLLBACK');
    await engine.settle();
    expect(engine.target.size).toBe(1);
  });

  test('X03: a table dropped and made again is another one; an altered one is the same', async () => {
    const name = await table();
    await fill(name, 4);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await wait(1100);
    await database.query(`ALTER TABLE ${name} ADD COLUMN more int, ALGORITHM=COPY`);
    expect((await engine.run()).read).toBe(1);
    await wait(1100);
    await database.query(`DROP TABLE ${name}; CREATE TABLE ${name} (id bigint PRIMARY KEY, at datetime(6), note text)`);
    await expect(engine.run()).rejects.toMatchObject({ code: 'source.history_lost' });
    await expect(engine.poll()).rejects.toMatchObject({ code: 'source.history_lost' });
  });

  test('X07, W18: a counter that has gone back below the watermark', async () => {
    tables += 1;
    const name = `t${tables}`;
    await database.query(`CREATE TABLE ${name} (id bigint AUTO_INCREMENT PRIMARY KEY, note text); INSERT INTO ${name} (note) VALUES ('a'), ('b'), ('c')`);
    const engine = await MiniEngine.for(database, name, 'id');
    await engine.run();
    await database.query(`DELETE FROM ${name} WHERE id = 3`);
    await engine.run();
    await database.query(`TRUNCATE ${name}; INSERT INTO ${name} (note) VALUES ('new')`);
    await expect(engine.run()).rejects.toMatchObject({ code: 'source.history_lost' });
  });

  test('X09: a prepared transaction that is held over several runs', async () => {
    const name = await table();
    await fill(name, 4);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    const client = await database.client();
    for (const statement of ["XA START 'held'", `INSERT INTO ${name} VALUES (50, '2026-01-15', 'prepared')`, "XA END 'held'", "XA PREPARE 'held'"]) await client.query(statement);
    client.destroy();
    // As long as the server has the connection, nobody else can commit what it has prepared.
    await waitFor('the connection to end', async () => ((await database.value(`SELECT count(*) FROM information_schema.processlist WHERE id = ${client.threadId}`)) === '0' ? true : null));
    await database.query(`INSERT INTO ${name} VALUES (60, '2026-02-01', 'other')`);
    await engine.run();
    await engine.run();
    await (await database.client()).query("XA COMMIT 'held'");
    await engine.settle();
    expect(engine.target.size).toBe(6);
  });

  test('X11: each batch has a snapshot of its own', async () => {
    const name = await table();
    await fill(name, 2);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`INSERT INTO ${name} VALUES (3, '2026-01-02', 'new')`);
    await engine.run();
    await engine.expectEqual();
  });

  test('X12: a table without transactions is read again for the overlap, and the promise says so', async () => {
    const name = await table('datetime(6)', 'ENGINE=MyISAM');
    await fill(name, 10, "'2026-01-01' + INTERVAL seq * 10 SECOND");
    const engine = await MiniEngine.for(database, name, 'at', { overlapSeconds: 25 });
    await engine.run();
    expect(engine.guarantee).toBe('within 25s');
    expect((await engine.run()).read).toBe(3);
  });

  test('X14: TIMESTAMP in the hour that the server\'s zone has twice', async () => {
    const name = await table('timestamp(3)');
    await database.query(`SET time_zone = '+00:00'; INSERT INTO ${name} SELECT seq, '2025-10-26 00:30:00' + INTERVAL seq * 20 MINUTE, 'x' FROM seq_0_to_5`);
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 1 });
    expect((await engine.run()).read).toBe(6);
    expect(engine.target.get('0')).toContain('2025-10-26 00:30:00.000+00');
    expect(engine.target.get('5')).toContain('2025-10-26 02:10:00.000+00');
    expect(engine.position?.display).toBe('2025-10-26T02:10:00.000Z');
  });

  test('X24: a cursor that is another one now stops the stream', async () => {
    const name = await table();
    await fill(name, 4);
    const engine = await MiniEngine.for(database, name, 'at');
    await engine.run();
    await database.query(`ALTER TABLE ${name} MODIFY at datetime(0)`);
    const narrowed = await MiniEngine.for(database, name, 'at');
    narrowed.position = engine.position;
    await expect(narrowed.run()).rejects.toMatchObject({ code: 'source.schema_changed' });
    await database.query(`ALTER TABLE ${name} DROP COLUMN at`);
    await expect(engine.run()).rejects.toMatchObject({ code: 'source.column_missing' });
    const gone = await MiniEngine.for(database, name, 'at');
    await expect(gone.run()).rejects.toMatchObject({ code: 'source.cursor_missing' });
  });

  test('without PROCESS the promise holds within the overlap', async () => {
    await database.query(`CREATE OR REPLACE USER narrow@'%' IDENTIFIED BY 'narrow'; GRANT SELECT ON \`${database.name}\`.* TO narrow@'%'`);
    const name = await table();
    await fill(name, 10, "'2026-01-01' + INTERVAL seq * 10 SECOND");
    const engine = await MiniEngine.for(database, name, 'at', { login: { user: 'narrow', password: 'narrow' }, overlapSeconds: 25 });
    await engine.run();
    expect(engine.guarantee).toBe('within 25s');
    expect((await engine.session.server()).warnings.join()).toContain('PROCESS');
    const late = await transaction(`INSERT INTO ${name} VALUES (50, '2026-01-01 00:01:30', 'late')`);
    await engine.run();
    await late.query('COMMIT');
    await engine.settle();
  });

  test('a first load in parts, with writers at work between them, is complete after a catch-up', async () => {
    const name = await table();
    await fill(name, 20);
    const engine = await MiniEngine.for(database, name, 'at');
    let id = 100;
    const parts = await engine.build(async () => {
      id += 1;
      await database.query(`INSERT INTO ${name} VALUES (${id}, UTC_TIMESTAMP(6), 'new'), (${-id}, UTC_TIMESTAMP(6), 'new'); UPDATE ${name} SET at = UTC_TIMESTAMP(6), note = 'moved' WHERE id = ${id - 96}`);
    });
    expect(parts).toBe(7);
    await engine.settle();
  });

  test('a composite key is cut and paged without a gap', async () => {
    await database.query(`CREATE TABLE pairs (a int, b varchar(5), at datetime, PRIMARY KEY (a, b));
      INSERT INTO pairs SELECT x.seq, CHAR(96 + y.seq), '2026-01-01' FROM seq_1_to_5 x, seq_1_to_5 y`);
    const engine = await MiniEngine.for(database, 'pairs', 'at', { rowsMax: 4 });
    expect(await engine.build()).toBe(7);
    await engine.expectEqual();
    engine.target.clear();
    engine.position = null;
    expect((await engine.run()).read).toBe(25);
    await engine.expectEqual();
  });

  test('a keyless table without cursor: one part, and a poll that sees any change', async () => {
    await database.query("CREATE TABLE plain (a int, b text, f float); INSERT INTO plain VALUES (1, 'x', 0.1), (1, 'x', 0.1), (2, NULL, 16777216)");
    const engine = await MiniEngine.for(database, 'plain', null);
    expect(await engine.build()).toBe(1);
    expect(await engine.poll()).toBe(false);
    await database.query("INSERT INTO plain VALUES (1, 'x', 0.1), (1, 'x', 0.1)");
    expect(await engine.poll()).toBe(true);
  });

  test('keys of an enum are paged in its order', async () => {
    await database.query("CREATE TABLE choices (e enum('z','y','x','w','v') PRIMARY KEY, at int); INSERT INTO choices VALUES ('v',1),('z',1),('w',1),('x',1),('y',1)");
    const engine = await MiniEngine.for(database, 'choices', 'at', { rowsMax: 2 });
    expect((await engine.run()).read).toBe(5);
    expect(await engine.build()).toBe(3);
    await engine.expectEqual();
  });

  test('many sessions at once still see each other\'s open transactions', async () => {
    const name = await table();
    await fill(name, 5);
    const engines = await Promise.all(Array.from({ length: 12 }, () => MiniEngine.for(database, name, 'at')));
    // The server renews what it shows only while nobody looks: on a busy machine one may find it stale each time, says so, and the next run finds it.
    const seeing = async (engine: MiniEngine): Promise<number> => {
      for (let run = 1; run <= 5; run += 1) {
        await engine.run();
        if (engine.guarantee === 'exact') return run;
        expect(engine.guarantee).toBe('within 60s');
      }
      throw new Error('five runs in a row did not see the open transactions');
    };
    for (let round = 0; round < 3; round += 1) await Promise.all(engines.map(seeing));
    await Promise.all(engines.map((engine) => engine.session.close()));
  });

  test('sessions of our own that open and look around are nobody to wait for', async () => {
    const name = await table();
    await fill(name, 5);
    const engine = await MiniEngine.for(database, name, 'at');
    let busy = true;
    const others = Array.from({ length: 6 }, async () => {
      while (busy) {
        const session = await openSession(database);
        await session.discover();
        await session.close();
      }
    });
    try {
      for (let run = 0; run < 25; run += 1) {
        await engine.run();
        expect((engine.position?.state as { readonly open: unknown }).open).toEqual([]);
      }
    } finally {
      busy = false;
      await Promise.all(others);
    }
  });

  test('two workers see the same batch for the same position', async () => {
    const name = await table();
    await fill(name, 10);
    const first = await MiniEngine.for(database, name, 'at');
    const second = await MiniEngine.for(database, name, 'at');
    await first.batch();
    second.position = first.position;
    await Promise.all([first.batch(), second.batch()]);
    expect([...second.target.values()]).toEqual([...first.target.values()].slice(3));
  });
});
