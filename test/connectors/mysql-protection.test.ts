/** What a MySQL or MariaDB server and its DBA see of Tidemark: a name, read-only snapshots, replicas only where asked, rows of any size. */
import { describeWith } from '../support/describe-with.ts';
import { MariadbDatabase, privateMariadb } from '../support/mariadb.ts';
import { onFileEnd } from '../support/release.ts';
import { waitFor } from '../support/processes.ts';
import type { SourceSession, StreamRead } from '../../connectors/connector.ts';
import { manifest } from '../../connectors/mysql/manifest.ts';
import { openSession, readBytes } from './mysql-engine.ts';

const WHOLE = { from: null, to: null, rowEstimate: -1 };
const MEGABYTE = 1024 * 1024;

describeWith({ mariadb: true }, 'MariaDB, seen by its DBA', () => {
  let admin: MariadbDatabase;
  let database: MariadbDatabase;

  const whole = async (session: SourceSession, name: string): Promise<StreamRead> => {
    const table = await session.describe(name);
    return { table, columns: table.columns.map((column) => column.name), key: table.key, cursor: null, overlapSeconds: 60, futureLimitSeconds: 86_400, fetchRows: 100, types: {} };
  };

  beforeAll(async () => {
    const server = await privateMariadb(['--performance-schema=ON', '--max-allowed-packet=64M']);
    admin = new MariadbDatabase(server, 'mysql');
    await admin.query('CREATE DATABASE bank CHARACTER SET utf8mb4');
    database = new MariadbDatabase(server, 'bank');
    onFileEnd(async () => {
      await database.close();
      await admin.close();
    });
    await database.query('CREATE TABLE many (id int PRIMARY KEY, filler char(200)); INSERT INTO many SELECT seq, REPEAT(\'x\', 200) FROM seq_1_to_200000');
  });

  test('the session has its name, and each statement a mark that the process list shows', async () => {
    const session = await openSession(database);
    const names = await admin.query("SELECT ATTR_VALUE AS name FROM performance_schema.session_connect_attrs WHERE ATTR_NAME = 'program_name'");
    expect(names).toContainEqual({ name: 'tidemark test' });
    const read = await session.readPart(await whole(session, 'many'), WHOLE, 'copy-text');
    await read.stream[Symbol.asyncIterator]().next();
    const shown = await waitFor('the statement', async () => (await admin.query("SELECT INFO AS info FROM information_schema.PROCESSLIST WHERE INFO LIKE '% SELECT %filler%' AND ID <> CONNECTION_ID()"))[0] ?? null);
    expect(shown['info']).toMatch(/^\/\* tidemark \*\/ SELECT /);
    read.stream.on('error', () => undefined).destroy();
    await session.close();
  });

  test('rows are read in a read-only transaction with a consistent snapshot', async () => {
    await admin.query("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON");
    const session = await openSession(database);
    await readBytes(await session.readPart(await whole(session, 'many'), WHOLE, 'copy-text'));
    await admin.query('SET GLOBAL general_log = OFF');
    const log = (await admin.query("SELECT CONVERT(argument USING utf8mb4) AS said FROM mysql.general_log WHERE command_type = 'Query' ORDER BY event_time")).map((row) => row['said'] ?? '');
    const begun = log.findIndex((said) => said === '/* tidemark */ START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY');
    expect(begun).toBeGreaterThanOrEqual(0);
    expect(log.filter((said) => !said.startsWith('/* tidemark */') && !said.includes('general_log'))).toEqual([]);
    expect(log.findIndex((said) => / SELECT .*`filler`/.test(said))).toBeGreaterThan(begun);
    await session.close();
  });

  test('rows that are larger than max_allowed_packet arrive whole', async () => {
    await database.query(`CREATE TABLE large (id int PRIMARY KEY, t longtext, b longblob); INSERT INTO large VALUES (1, REPEAT('x', ${20 * MEGABYTE}), REPEAT('y', ${20 * MEGABYTE})), (2, 'a', 'b')`);
    await admin.query(`SET GLOBAL max_allowed_packet = ${MEGABYTE}`);
    const session = await openSession(database);
    const read = await session.readPart(await whole(session, 'large'), WHOLE, 'copy-text');
    const text = (await readBytes(read)).toString('latin1');
    expect(read.rowsRead()).toBe(2);
    expect(text.split('\t').map((field) => field.length).slice(0, 3)).toEqual([1, 20 * MEGABYTE, 3 + 2 * 20 * MEGABYTE]);
    await session.close();
  });

  test('a replica is asked for: a server that takes writes is refused, one that is read-only is read within the overlap', async () => {
    const { host, port, user, password } = database.server;
    const open = async (): Promise<SourceSession> =>
      (await manifest.load()).connect(manifest.connectionSchema.parse({ host, port, user, password, database: 'bank', replica: true }), {
        applicationName: 'tidemark test', connectTimeoutMs: 10_000, statementTimeoutMs: 10_000, signal: new AbortController().signal,
      });
    await expect(open()).rejects.toMatchObject({ code: 'source.not_replica' });
    await admin.query('SET GLOBAL read_only = ON');
    const session = await open();
    expect((await session.server()).warnings.join()).toMatch(/by replication/);
    await admin.query('SET GLOBAL read_only = OFF');
    await session.close();
  });
});
