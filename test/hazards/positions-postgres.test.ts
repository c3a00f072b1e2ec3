/** What a position says when the source has gone back, with real files: a restore, a fail-over, a table that was emptied or rewritten. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MiniEngine } from '../connectors/postgres-engine.ts';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { runTool } from '../support/processes.ts';

const LOST = { code: 'source.history_lost' };

describeWith({ postgres: true }, 'positions of PostgreSQL', () => {
  let server: PrivatePostgres;
  let database: PostgresDatabase;
  let backup: string;
  let data: string;
  let tables = 0;

  const insert = (name: string, from: number, to: number) => database.query(`INSERT INTO ${name} SELECT n, clock_timestamp(), 'row ' || n FROM generate_series(${from}, ${to}) n`);

  /** A table of twenty rows, and an engine that has read them. */
  async function stream(): Promise<{ name: string; engine: MiniEngine }> {
    tables += 1;
    const name = `t${tables}`;
    await database.query(`CREATE TABLE ${name} (id bigint PRIMARY KEY, at timestamptz NOT NULL, note text); CREATE INDEX ON ${name} (at)`);
    await insert(name, 1, 20);
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 100 });
    await engine.run();
    return { name, engine };
  }

  /** The same stream over a new session, as a worker has it after the server was away. */
  async function again(name: string, before: MiniEngine): Promise<MiniEngine> {
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 100 });
    engine.position = before.position;
    for (const [key, line] of before.target) engine.target.set(key, line);
    return engine;
  }

  async function takeBackup(): Promise<void> {
    await server.stop();
    rmSync(backup, { recursive: true, force: true });
    runTool('cp', ['-a', data, backup]);
    await server.restart();
  }

  /** Puts the backup in the place of the data. `takeOver`: as a standby that is promoted, on a timeline of its own. */
  async function restore(takeOver = false): Promise<void> {
    await server.stop();
    rmSync(data, { recursive: true });
    runTool('cp', ['-a', backup, data]);
    if (takeOver) writeFileSync(join(data, 'standby.signal'), '');
    await server.restart();
    if (takeOver) await database.query('SELECT pg_promote()');
  }

  /** More transactions and log than the lost history had. */
  async function moveOn(): Promise<void> {
    await database.query('CREATE TABLE IF NOT EXISTS other (v text)');
    for (let n = 0; n < 60; n += 1) await database.query("INSERT INTO other VALUES (repeat('x', 2000))");
  }

  beforeAll(async () => {
    server = await PrivatePostgres.start();
    database = await server.createDatabase('positions');
    data = server.server.dataFolder;
    backup = join(server.folder, 'backup');
  });

  test('a clean restart loses nothing and stops nothing', async () => {
    const { name, engine } = await stream();
    await database.query(`DELETE FROM ${name} WHERE id = 20; UPDATE ${name} SET note = 'x', at = clock_timestamp() WHERE id = 19`);
    await server.stop();
    await server.restart();
    await insert(name, 21, 25);
    const after = await again(name, engine);
    await after.run();
    expect(after.target.size).toBe(25);
  });

  test('a server that was restored from a copy of its files, before and after it has moved on', async () => {
    const { name, engine } = await stream();
    await takeBackup();
    const then = await again(name, engine);
    await insert(name, 21, 40);
    await then.run();
    await restore();
    await expect((await again(name, then)).run()).rejects.toMatchObject(LOST);
    // The lost history's ids are drawn again.
    await insert(name, 21, 40);
    await moveOn();
    const late = await again(name, then);
    await expect(late.run()).rejects.toMatchObject(LOST);
    await expect(late.poll()).rejects.toMatchObject(LOST);
  });

  test('a standby that takes over with all that was read goes on', async () => {
    const { name, engine } = await stream();
    await takeBackup();
    await restore(true);
    await insert(name, 21, 22);
    const after = await again(name, engine);
    await after.run();
    await after.expectEqual();
  });

  test('a standby that takes over and lacks what was read last', async () => {
    const { name, engine } = await stream();
    await takeBackup();
    const then = await again(name, engine);
    await insert(name, 21, 22);
    await then.run();
    await restore(true);
    await moveOn();
    await insert(name, 23, 30);
    await expect((await again(name, then)).run()).rejects.toMatchObject(LOST);
  });

  test('W18: a table that is emptied and filled with earlier rows stops; while it is empty, or filled with the same rows, it does not', async () => {
    const { name, engine } = await stream();
    await database.query(`CREATE TABLE saved AS TABLE ${name}; TRUNCATE ${name}`);
    await engine.run();
    await database.query(`INSERT INTO ${name} SELECT * FROM saved`);
    await engine.run();
    await engine.expectEqual();
    await database.query(`TRUNCATE ${name}; INSERT INTO ${name} SELECT id - 20, at - interval '1 day', note FROM saved`);
    await expect(engine.run()).rejects.toMatchObject(LOST);
  });

  test('a rewritten table goes on', async () => {
    const { name, engine } = await stream();
    await database.query(`VACUUM FULL ${name}`);
    await insert(name, 21, 22);
    await engine.run();
    await engine.expectEqual();
    await database.query(`ALTER TABLE ${name} ALTER COLUMN id TYPE numeric`);
    await database.query(`ALTER TABLE ${name} ALTER COLUMN id TYPE bigint`);
    await engine.settle();
  });
});
