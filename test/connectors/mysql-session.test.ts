/** Connecting, being refused, being cancelled: each failure has its code, shows no secret, and leaves nothing at the server. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { manifest } from '../../connectors/mysql/manifest.ts';
import type { StreamRead } from '../../connectors/connector.ts';
import type { TidemarkError } from '../../schemas/errors.ts';
import type { TableShape } from '../../schemas/table.ts';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb, type MariadbDatabase } from '../support/mariadb.ts';
import { waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { openSession, readLines, type Login } from './mysql-engine.ts';

let database: MariadbDatabase;

const whole = (table: TableShape): StreamRead => ({
  table, columns: table.columns.map((column) => column.name), key: table.key, cursor: null, overlapSeconds: 60, futureLimitSeconds: 86_400, fetchRows: 100, types: {},
});

async function failure(work: Promise<unknown>): Promise<TidemarkError> {
  try {
    await work;
  } catch (error) {
    return error as TidemarkError;
  }
  throw new Error('it did not fail');
}

/** A listener that answers each connection with these bytes, or is silent. */
async function fakeServer(onConnection: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    onFileEnd(() => { socket.destroy(); });
    onConnection(socket);
  });
  onFileEnd(() => { server.close(); });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return (server.address() as AddressInfo).port;
}

function packet(sequence: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([payload.length, payload.length >> 8, payload.length >> 16, sequence]), payload]);
}

const OK = Buffer.from([0, 0, 0, 2, 0, 0, 0]);

/** The greeting of a MySQL 5.7 without TLS. */
function greet(socket: Socket): void {
  const hello = Buffer.concat([
    Buffer.from([10]), Buffer.from('5.7.99\0'), Buffer.from([1, 0, 0, 0]), Buffer.from('abcdefgh\0'), Buffer.from([0xff, 0xf7]), Buffer.from([33]),
    Buffer.from([2, 0]), Buffer.from([0x0f, 0x80]), Buffer.from([21]), Buffer.alloc(10), Buffer.from('ijklmnopqrst\0'), Buffer.from('mysql_native_password\0'),
  ]);
  socket.write(packet(0, hello));
}

function silentAfterLogin(socket: Socket): void {
  greet(socket);
  socket.once('data', () => socket.write(packet(2, OK)));
}

/** Lets everybody in and asks for a file at every query. */
function thief(seen: Buffer[]): (socket: Socket) => void {
  return (socket) => {
    greet(socket);
    let loggedIn = false;
    socket.on('data', (data) => {
      if (!loggedIn) {
        loggedIn = true;
        socket.write(packet(2, OK));
        return;
      }
      seen.push(data);
      if (data[4] === 3) socket.write(packet(1, Buffer.concat([Buffer.from([0xfb]), Buffer.from('/etc/passwd')])));
      else socket.write(packet((data[3] ?? 0) + 1, OK));
    });
  };
}

/** Threads of the server that run a statement of ours: it has other test files' databases, too. */
async function running(marker: string): Promise<readonly (string | undefined)[]> {
  const rows = await database.query(`SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE '%${marker}%' AND id <> CONNECTION_ID()`);
  return rows.map(({ id }) => id);
}

const untilRunning = (marker: string, count: 0 | 1) => waitFor(`${count} statements of ${marker}`, async () => ((await running(marker)).length === count ? true : null));

describeWith({ mariadb: true }, 'MariaDB session', () => {
  beforeAll(async () => {
    database = await createMariadb('session');
    await database.query("CREATE TABLE accounts (id int AUTO_INCREMENT PRIMARY KEY, name varchar(20)); INSERT INTO accounts (name) VALUES ('a'), ('b')");
    await database.query('CREATE TABLE endless (id int PRIMARY KEY, filler char(200)) AS SELECT seq AS id, REPEAT(\'x\', 200) AS filler FROM seq_1_to_300000');
  });

  test.each<readonly [string, () => Promise<Login>, string]>([
    ['a wrong password', async () => ({ password: 'canary-"\\secret' }), 'source.auth_failed'],
    ['an unknown user', async () => ({ user: 'nobody_here' }), 'source.auth_failed'],
    ['an unknown database', async () => ({ database: 'not_there' }), 'source.database_missing'],
    ['a closed port', async () => ({ port: 1 }), 'source.unreachable'],
    ['an unknown host', async () => ({ host: 'no-such-host.invalid' }), 'source.host_unknown'],
    ['a silent port', async () => ({ port: await fakeServer(() => undefined), connectTimeoutMs: 500 }), 'source.unreachable'],
    ['a port that speaks something else', async () => ({ port: await fakeServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')), connectTimeoutMs: 2000 }), 'source.'],
    ['a server without TLS', async () => ({ tls: { mode: 'require' } }), 'source.tls_failed'],
  ])('%s', async (_name, login, code) => {
    const error = await failure(login().then((each) => openSession(database, each)));
    expect(error.code.startsWith(code)).toBe(true);
    expect(`${error.message} ${error.hint ?? ''}`).not.toContain('canary');
    expect(error.message).not.toContain(database.server.password);
  });

  test('a server that asks for a file of this machine gets nothing', async () => {
    const seen: Buffer[] = [];
    const port = await fakeServer(thief(seen));
    const error = await failure(openSession(database, { port }));
    expect(error.code).toBe('source.protocol');
    expect(Buffer.concat(seen).includes('root:')).toBe(false);
    expect(seen.length).toBeGreaterThan(0);
  });

  test('a server that falls silent after the login is given up', async () => {
    const port = await fakeServer(silentAfterLogin);
    const error = await failure(openSession(database, { port, connectTimeoutMs: 3_000 }));
    expect(error.code).toBe('source.connection_lost');
  });

  test('an unknown choice of types is refused', async () => {
    const session = await openSession(database);
    await expect(session.describe('accounts', { zero_dates: 'ignore' })).rejects.toMatchObject({ code: 'config.invalid', path: 'types.zero_dates' });
    await expect(session.describe('accounts', { zero_date: 'null' })).rejects.toMatchObject({ code: 'config.invalid' });
  });

  test('a connection has typed fields only', () => {
    const good = { host: 'h', database: 'd', user: 'u', password: 'p' };
    expect(manifest.connectionSchema.parse(good)).toMatchObject({ port: 3306 });
    for (const extra of [{ url: 'mysql://x' }, { options: '--local-infile' }, { flags: 'LOCAL_FILES' }, { port: 0 }, { tls: { mode: 'no-verify' } }]) {
      expect(manifest.connectionSchema.safeParse({ ...good, ...extra }).success).toBe(false);
    }
  });

  test('server() says who and what, and the session is seen by its name', async () => {
    const session = await openSession(database);
    const facts = await session.server();
    expect(facts).toMatchObject({ product: 'MariaDB', database: database.name, warnings: [] });
    expect(facts.version).toMatch(/^1\d\.\d+/);
    expect((await (await openSession(database)).server()).identity).toBe(facts.identity);
  });

  test('a missing table names the nearest; names are taken as written, then as database.table', async () => {
    const session = await openSession(database);
    const error = await failure(session.describe('acounts'));
    expect(error.code).toBe('source.table_missing');
    expect(error.hint).toContain('accounts');
    for (const name of ['accounts', `${database.name}.accounts`, `\`${database.name}\`.\`accounts\``]) {
      expect((await session.describe(name)).key).toEqual(['id']);
    }
    await database.query('CREATE TABLE `a.b` (x int NOT NULL, y int, UNIQUE (x), UNIQUE (y))');
    expect(await session.describe('a.b')).toMatchObject({ name: 'a.b', key: ['x'] });
    await expect(session.describe("no'; DROP TABLE accounts; --")).rejects.toMatchObject({ code: 'source.table_missing' });
  });

  test('a table that may be seen but not read', async () => {
    await database.query(`CREATE OR REPLACE USER writer@'%' IDENTIFIED BY 'writer'; GRANT INSERT ON \`${database.name}\`.accounts TO writer@'%'`);
    const session = await openSession(database, { user: 'writer', password: 'writer' });
    await expect(session.describe('accounts')).rejects.toMatchObject({ code: 'source.privilege_missing' });
  });

  test('a column dropped, a privilege lost, a table dropped after the plan', async () => {
    await database.query(`CREATE TABLE shaky (id int PRIMARY KEY, v int); CREATE OR REPLACE USER reader@'%' IDENTIFIED BY 'reader'; GRANT SELECT ON \`${database.name}\`.shaky TO reader@'%'`);
    const session = await openSession(database);
    const stream = whole(await session.describe('shaky'));
    const read = async (login: Login = {}): Promise<unknown> => {
      const each = await openSession(database, login);
      return readLines(await each.readPart(stream, { from: null, to: null, rowEstimate: 0 }, 'copy-text'));
    };
    expect((await failure(read({ user: 'writer', password: 'writer' }))).code).toBe('source.privilege_missing');
    await database.query('ALTER TABLE shaky DROP COLUMN v');
    expect((await failure(read())).code).toBe('source.column_missing');
    await database.query('DROP TABLE shaky');
    expect((await failure(read())).code).toBe('source.table_missing');
  });

  test('aborting ends the statement at the server and fails the call', async () => {
    await database.query("CREATE VIEW sleeper AS SELECT SLEEP(60) AS v, 'abort_marker' AS m");
    const abort = new AbortController();
    const session = await openSession(database, { signal: abort.signal });
    const stream = { ...whole(await session.describe('accounts')), columns: ['v', 'm'], key: [], table: await session.describe('sleeper') };
    const poll = failure(session.planFull(stream, { rowsMax: 10 }));
    await untilRunning('sleeper', 1);
    abort.abort();
    expect((await poll).code).toBe('source.read_interrupted');
    await untilRunning('sleeper', 0);
    await session.close();
  });

  test.each(['destroy', 'abort', 'close'])('rows half read, then %s: the statement ends at the server', async (way) => {
    const abort = new AbortController();
    const session = await openSession(database, { signal: abort.signal });
    const stream = whole(await session.describe('endless'));
    const rows = await session.readPart(stream, { from: null, to: null, rowEstimate: 0 }, 'copy-text');
    const iterator = rows.stream[Symbol.asyncIterator]();
    await iterator.next();
    expect(await running('`filler`')).toHaveLength(1);
    rows.stream.on('error', () => undefined);
    if (way === 'destroy') rows.stream.destroy();
    else if (way === 'abort') abort.abort();
    else await session.close();
    await untilRunning('`filler`', 0);
    await session.close();
    await session.close();
  });

  test('a slow reader holds the server back, and gets every row', async () => {
    const session = await openSession(database);
    const stream = whole(await session.describe('endless'));
    const rows = await session.readPart(stream, { from: null, to: null, rowEstimate: 0 }, 'copy-text');
    let bytes = 0;
    let chunks = 0;
    for await (const chunk of rows.stream) {
      bytes += (chunk as Buffer).length;
      chunks += 1;
      if (chunks % 100 === 0) {
        await setTimeout(5);
        expect(rows.rowsRead() * 200).toBeLessThan(bytes + 4 * 1024 * 1024);
      }
    }
    expect(rows.rowsRead()).toBe(300_000);
    expect(await session.describe('accounts')).toMatchObject({ name: 'accounts' });
  });

  test('the statement timeout ends a read', async () => {
    const table = await (await openSession(database)).describe('sleeper');
    const session = await openSession(database, { statementTimeoutMs: 2_000 });
    const rows = await session.readPart({ ...whole(table), columns: ['v'] }, { from: null, to: null, rowEstimate: 0 }, 'copy-text');
    expect((await failure(readLines(rows))).code).toBe('source.statement_timeout');
  });

  test('the connection is killed at the server', async () => {
    const session = await openSession(database);
    const stream = whole(await session.describe('endless'));
    const rows = await session.readPart(stream, { from: null, to: null, rowEstimate: 0 }, 'copy-text');
    const iterator = rows.stream[Symbol.asyncIterator]();
    await iterator.next();
    const [thread] = await running('`filler`');
    await database.query(`KILL ${thread}`);
    const rest = async (): Promise<void> => {
      while ((await iterator.next()).done !== true);
    };
    expect(['source.connection_lost', 'source.read_interrupted']).toContain((await failure(rest())).code);
    expect((await failure(session.describe('accounts'))).code).toBe('source.connection_lost');
  });

  test('the session can write nothing', async () => {
    const { connector } = await import('../../connectors/mysql/connect.ts');
    const { openConnection } = await import('../../connectors/mysql/connection.ts');
    expect(typeof connector.connect).toBe('function');
    const { host, port, user, password } = database.server;
    const connection = await openConnection(
      { host, port, user, password, database: database.name, tls: { mode: 'disable' } },
      { applicationName: 'tidemark test', connectTimeoutMs: 10_000, statementTimeoutMs: 10_000, signal: new AbortController().signal },
    );
    for (const sql of ["INSERT INTO accounts (name) VALUES ('x')", 'DELETE FROM accounts', 'CREATE TABLE made (x int)', "SET @x = 1; DELETE FROM accounts"]) {
      await expect(connection.query(sql, 'a write')).rejects.toMatchObject({ name: 'TidemarkError' });
    }
    await connection.end();
    expect(await database.value('SELECT COUNT(*) FROM accounts')).toBe('2');
  });
});
