/** What a position says when a MariaDB source has gone back, with real files and real dumps: a restore, a restart, a table that was rebuilt or made anew. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MiniEngine } from '../connectors/mysql-engine.ts';
import { describeWith } from '../support/describe-with.ts';
import { which } from '../support/find-servers.js';
import { MariadbDatabase, restartMariadb, startMariadb } from '../support/mariadb.ts';
import { runTool, waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { scratchFolder, uniqueName } from '../support/shared-server.ts';

/** A server that is ended by force before it has stopped is no clean restart. */
const STOP_MS = 60_000;
const LOST = { code: 'source.history_lost' };
const KINDS = { counted: 'bigint AUTO_INCREMENT PRIMARY KEY', plain: 'bigint PRIMARY KEY' } as const;

describeWith({ mariadb: true }, 'positions of MariaDB', () => {
  const folder = scratchFolder('mariadb');
  const data = join(folder, 'data');
  const backup = join(folder, 'backup');
  let server: Awaited<ReturnType<typeof startMariadb>>;
  let database: MariadbDatabase;
  let reader: { user: string; password: string };
  let tables = 0;

  const connect = () => { database = new MariadbDatabase(server, 'positions'); };

  beforeAll(async () => {
    server = await startMariadb(folder, ['--innodb-flush-log-at-trx-commit=1']);
    onFileEnd(async () => {
      await database.close().catch(() => undefined);
      await server.process.stop();
    });
    const admin = new MariadbDatabase(server, 'mysql');
    // A reader with no privilege but to read: what tells a restore needs none.
    reader = { user: 'reader', password: `pw-${uniqueName('r')}` };
    await admin.query(`CREATE DATABASE positions CHARACTER SET utf8mb4; CREATE USER reader@'%' IDENTIFIED BY '${reader.password}'; GRANT SELECT ON positions.* TO reader@'%'`);
    await admin.close();
    connect();
  });

  async function stop(): Promise<void> {
    await database.close();
    await server.process.stop(STOP_MS);
  }

  async function start(): Promise<void> {
    server = await restartMariadb(folder, server, ['--innodb-flush-log-at-trx-commit=1']);
    connect();
  }

  const insert = (name: string, from: number, to: number) => database.query(`INSERT INTO ${name} SELECT seq, now(6) + INTERVAL seq MICROSECOND, concat('row ', seq) FROM seq_${from}_to_${to}`);

  const engineOf = (name: string) => MiniEngine.for(database, name, 'at', { rowsMax: 100, login: reader });

  /** A table of twenty rows, and an engine that has read them. */
  async function stream(kind: keyof typeof KINDS = 'plain'): Promise<{ name: string; engine: MiniEngine }> {
    tables += 1;
    const name = `t${tables}`;
    await database.query(`CREATE TABLE ${name} (id ${KINDS[kind]}, at datetime(6) NOT NULL, note text, KEY (at))`);
    await insert(name, 1, 20);
    const engine = await engineOf(name);
    await engine.run();
    return { name, engine };
  }

  /** The same stream over a new session, as a worker has it after the server was away. */
  async function again(name: string, before: MiniEngine): Promise<MiniEngine> {
    const engine = await engineOf(name);
    engine.position = before.position;
    for (const [key, line] of before.target) engine.target.set(key, line);
    return engine;
  }

  async function takeBackup(): Promise<void> {
    await stop();
    rmSync(backup, { recursive: true, force: true });
    runTool('cp', ['-a', data, backup]);
    await start();
  }

  async function restore(): Promise<void> {
    await stop();
    rmSync(data, { recursive: true });
    runTool('cp', ['-a', backup, data]);
    await start();
  }

  const client = (program: string, args: readonly string[]) =>
    runTool(which(program) ?? program, ['--no-defaults', '-h127.0.0.1', `-P${server.port}`, `-u${server.user}`, `-p${server.password}`, ...args]);

  const dumpFile = (name: string) => join(folder, `${name}.sql`);

  /** The table as `mariadb-dump` writes it: dropped, made again, filled. */
  const dump = (name: string) => void client('mariadb-dump', ['--result-file', dumpFile(name), 'positions', name]);

  async function load(name: string): Promise<void> {
    // The catalog tells whole seconds of the file system's clock, which is a tick of the kernel behind the server's.
    const passed = `SELECT create_time < now(6) - INTERVAL 1100000 MICROSECOND v FROM information_schema.tables WHERE table_schema = 'positions' AND table_name = '${name}'`;
    await waitFor('another second', async () => ((await database.value(passed)) === '1' ? true : null));
    await database.query(readFileSync(dumpFile(name), 'utf8'));
  }

  test('a restart, clean or not, with the highest row deleted: nothing is lost, nothing stops', async () => {
    const { name, engine } = await stream('counted');
    await database.query(`DELETE FROM ${name} WHERE id = 20; UPDATE ${name} SET note = 'x', at = now(6) WHERE id = 5`);
    await stop();
    await start();
    const after = await again(name, engine);
    await after.run();
    await database.query(`DELETE FROM ${name} WHERE id IN (5, 19)`);
    await database.close();
    await server.process.kill();
    await start();
    const killed = await again(name, after);
    await killed.run();
    await insert(name, 21, 25);
    await killed.run();
    expect(killed.target.size).toBe(25);
  });

  test('a server that was restored from a copy of its files, a few rows short', async () => {
    const { name, engine } = await stream('counted');
    await takeBackup();
    await insert(name, 21, 23);
    const then = await again(name, engine);
    await then.run();
    await restore();
    const late = await again(name, then);
    // The table ends elsewhere than it did, so a poll says that a run is worth it.
    await expect(late.poll().catch(() => true)).resolves.toBe(true);
    await expect(late.run()).rejects.toMatchObject(LOST);
    // Lost numbers are given again.
    await insert(name, 21, 22);
    await expect((await again(name, then)).run()).rejects.toMatchObject(LOST);
  });

  test('a restored server that has moved on before the next run', async () => {
    const { name, engine } = await stream();
    await takeBackup();
    await insert(name, 21, 40);
    const then = await again(name, engine);
    await then.run();
    // Starts that lie a few seconds apart may be one, by clocks of whole seconds.
    await waitFor('a start that can be told from the next one', async () => (Number(await database.value("SELECT variable_value v FROM information_schema.global_status WHERE variable_name = 'UPTIME'")) > 7 ? true : null));
    await restore();
    await database.query('CREATE TABLE other (v text)');
    for (let n = 0; n < 40; n += 1) await database.query("INSERT INTO other VALUES (repeat('x', 2000))");
    await insert(name, 41, 45);
    await expect((await again(name, then)).run()).rejects.toMatchObject(LOST);
  });

  test.each(['counted', 'plain'] as const)('a table of kind %s that was restored from a dump, one row short', async (kind) => {
    const { name, engine } = await stream(kind);
    dump(name);
    await insert(name, 21, 21);
    await engine.run();
    await load(name);
    await expect(engine.run()).rejects.toMatchObject(LOST);
    await insert(name, 22, 23);
    await expect(engine.run()).rejects.toMatchObject(LOST);
  });

  test('a dump that lacks a change to a row that was there already', async () => {
    const { name, engine } = await stream();
    dump(name);
    await database.query(`UPDATE ${name} SET note = 'later', at = now(6) + INTERVAL 1 SECOND WHERE id = 3`);
    await engine.run();
    await load(name);
    await expect(engine.run()).rejects.toMatchObject(LOST);
  });

  test('a counter that was set back with rows that were read', async () => {
    const { name, engine } = await stream('counted');
    await database.query(`DELETE FROM ${name} WHERE id > 15; ALTER TABLE ${name} AUTO_INCREMENT = 1`);
    await expect(engine.run()).rejects.toMatchObject(LOST);
  });

  test('a rebuilt table and a dump of what was read go on; so does a deleted highest row', async () => {
    const { name, engine } = await stream('counted');
    await database.query(`ALTER TABLE ${name} ENGINE = InnoDB, FORCE; OPTIMIZE TABLE ${name}; DELETE FROM ${name} WHERE id = 3`);
    await engine.run();
    await database.query(`DELETE FROM ${name} WHERE id > 17`);
    await engine.run();
    dump(name);
    await load(name);
    await insert(name, 21, 22);
    await engine.run();
    expect(engine.target.size).toBe(22);
  });

  test('a position of an earlier version has no marks: it goes on, and has them after its next run', async () => {
    const { name, engine } = await stream('counted');
    const { marks, ...earlier } = (engine.position?.state ?? {}) as Record<string, unknown>;
    expect(marks).toMatchObject({ started: expect.stringMatching(/^\d+$/), log: expect.stringMatching(/^\d+$/), next: '21' });
    if (engine.position !== null) engine.position = { ...engine.position, state: earlier };
    await stop();
    await start();
    const after = await again(name, engine);
    await insert(name, 21, 22);
    await after.run();
    await after.expectEqual();
    expect(after.position?.state).toHaveProperty('marks');
  });
});
