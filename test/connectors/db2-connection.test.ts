/** Connections of Db2's connector: what may stand in them, and what comes of those that fail, hang or crash. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { connectionSchema, connectionString } from '../../connectors/db2/connection.ts';
import { fromConnecting, fromNative } from '../../connectors/db2/errors.ts';
import { manifest } from '../../connectors/db2/manifest.ts';
import { readRows } from '../conformance/copy-text.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDerby, DerbyDatabase, privateDerby } from '../support/derby.ts';
import { freePort, waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { openSession, streamOf } from './db2-engine.ts';

const GOOD = { host: 'db2-hq.bank.example', port: 50_000, database: 'CBS_DB', user: 'db2inst1', password: 'p{a}"s=s\'w ord' };
const OPTIONS = { applicationName: 'tidemark hq; UID=x', connectTimeoutMs: 1_500, statementTimeoutMs: 1_000, caFile: null };
const HOSTILE = [';UID=other', '\u0000', '\r\n', '\u2028', ';', 'a;b'];

describe('connection of db2', () => {
  test('is a string of the typed fields, read-only, under a name that a DBA sees', () => {
    expect(connectionString(connectionSchema.parse({ ...GOOD, tls: { mode: 'disable' } }), OPTIONS)).toBe(
      'DATABASE=CBS_DB;HOSTNAME=db2-hq.bank.example;PORT=50000;PROTOCOL=TCPIP;UID=db2inst1;PWD=p{a}"s=s\'w ord;' +
        'ReadOnlyConnection=1;TxnIsolation=2;FetchBufferSize=262144;ConnectTimeout=2;ClientApplName=tidemark hq_ UID_x;ProgramName=tidemark hq_ UID_x;',
    );
  });

  test('TLS checks the certificate in each mode, and the host name in verify-full', () => {
    const ca = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
    const keywords = (mode: string): string => connectionString(connectionSchema.parse({ ...GOOD, schema: 'CORE', tls: { mode, ca } }), { ...OPTIONS, caFile: '/tmp/x/authority.pem' });
    expect(keywords('verify-full')).toContain('Security=SSL;SSLServerCertificate=/tmp/x/authority.pem;SSLClientHostnameValidation=Basic;CurrentSchema=CORE;');
    for (const mode of ['verify-ca', 'require']) expect(keywords(mode)).toContain('Security=SSL;SSLServerCertificate=/tmp/x/authority.pem;SSLClientHostnameValidation=Off;');
    expect(connectionString(connectionSchema.parse(GOOD), OPTIONS)).toContain('Security=SSL;SSLClientHostnameValidation=Basic;');
    expect(connectionString(connectionSchema.parse({ ...GOOD, host: '127.0.0.1' }), OPTIONS)).not.toContain('SSL');
    expect(keywords('disable')).not.toContain('SSL');
  });

  test.each(['host', 'database', 'user', 'password', 'schema'])('%s cannot bring a keyword of its own', (field) => {
    for (const text of HOSTILE) expect([text, connectionSchema.safeParse({ ...GOOD, [field]: `x${text}` }).success]).toEqual([text, false]);
    for (const text of field === 'password' ? [] : ['{', '}', '=', '"', "'"]) expect([text, connectionSchema.safeParse({ ...GOOD, [field]: `x${text}y` }).success]).toEqual([text, false]);
  });

  test('has no free options, and the PEM text is nothing else', () => {
    expect(connectionSchema.safeParse({ ...GOOD, options: 'Trace=1' }).success).toBe(false);
    expect(connectionSchema.safeParse({ ...GOOD, tls: { mode: 'require', ca: '/etc/passwd' } }).success).toBe(false);
  });

  test('the manifest loads without the driver and says how to get it', () => {
    expect([manifest.kind, manifest.capabilities.ownQueue, manifest.capabilities.foldsToUpper]).toEqual(['db2', true, true]);
    expect(manifest.driverInstall).toContain('install-db2');
  });

  test.each([
    [-204, '42704', 'source.table_missing'],
    [-206, '42703', 'source.column_missing'],
    [-551, '42501', 'source.privilege_missing'],
    [-911, '40001', 'source.read_interrupted'],
    [-952, '57014', 'source.statement_timeout'],
    [-1224, '55032', 'source.connection_lost'],
    [-1226, '57030', 'source.too_many_connections'],
    [-30081, '08001', 'source.connection_lost'],
    [-30082, '08001', 'source.auth_failed'],
    [-1, '42X05', 'source.table_missing'],
    [-99_999, '40003', 'source.connection_lost'],
    [-413, '22003', 'source.query_failed'],
  ])('SQLCODE %s with SQLSTATE %s is %s', (sqlcode, sqlstate, code) => {
    const error = fromNative({ sqlcode, sqlstate, fault: null }, 'CORE.ACCOUNT');
    expect([error.code, error.message.includes('CORE.ACCOUNT')]).toEqual([code, true]);
  });

  test('a server that breaks off while connecting speaks something else, or has a TLS that is not ours', () => {
    const where = { host: 'h', port: 1 };
    expect(fromConnecting({ sqlcode: -30081, sqlstate: '08001', fault: null }, { ...where, tls: true }).code).toBe('source.tls_failed');
    expect(fromConnecting({ sqlcode: -30081, sqlstate: '08001', fault: null }, { ...where, tls: false }).code).toBe('source.protocol');
  });
});

async function listening(onSocket: (socket: Socket) => void): Promise<number> {
  const open: Socket[] = [];
  const server: Server = createServer((socket) => {
    open.push(socket);
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onFileEnd(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

/** Processes of ours that run the reader. */
function readers(): string[] {
  const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim().split(' ').filter((id) => id !== '');
  return children.filter((id) => execFileSync('ps', ['-o', 'args=', '-p', id], { encoding: 'utf8' }).includes('reader.ts'));
}

/** One that was killed takes a moment to be gone. */
const noReaders = () => waitFor('the readers to end', () => (readers().length === 0 ? true : null));

describeWith({ db2: true }, 'faults of db2', () => {
  let database: DerbyDatabase;

  beforeAll(async () => {
    database = await createDerby('faults');
    await database.run('CREATE TABLE wide (id int NOT NULL PRIMARY KEY, v varchar(2000))');
    await database.run(`INSERT INTO wide VALUES (0, '${'x'.repeat(2_000)}')`);
    for (let rows = 1; rows < 16_384; rows *= 2) await database.run(`INSERT INTO wide SELECT id + ${rows}, v FROM wide`);
  });

  test('wrong password and unknown database have their own codes, without the password', async () => {
    const server = await privateDerby(['-Dderby.connection.requireAuthentication=true', '-Dderby.authentication.provider=BUILTIN', '-Dderby.user.app=right=pass{w}ord']);
    const guarded = new DerbyDatabase({ ...server, password: 'right=pass{w}ord' }, 'GUARDED');
    await guarded.run('VALUES 1');
    await (await openSession(guarded.connection)).close();
    await expect(openSession(guarded.connection, { connection: { password: 'wrong-secret' } })).rejects.toMatchObject({ code: 'source.auth_failed', message: expect.not.stringContaining('wrong-secret') });
    await expect(openSession(guarded.connection, { connection: { database: 'NOWHERE' } })).rejects.toMatchObject({ code: 'source.database_missing' });
  });

  test('a closed port, an unknown host, a port that speaks something else or nothing at all: bounded, and told apart', async () => {
    const before = readers();
    await expect(openSession(database.connection, { connection: { port: await freePort() } })).rejects.toMatchObject({ code: 'source.unreachable' });
    await expect(openSession(database.connection, { connection: { host: 'no-such-host.invalid' } })).rejects.toMatchObject({ code: 'source.host_unknown' });
    const rude = await listening((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
    await expect(openSession(database.connection, { connection: { port: rude } })).rejects.toMatchObject({ code: 'source.protocol' });
    const silent = await listening(() => undefined);
    await expect(openSession(database.connection, { connection: { port: silent }, connectTimeoutMs: 1_000 })).rejects.toMatchObject({ code: 'source.unreachable' });
    await waitFor('the readers to end', () => (readers().every((id) => before.includes(id)) ? true : null));
  });

  test('a killed reader fails the read and not the worker; the session goes on with a new one', async () => {
    const session = await openSession(database.connection);
    const stream = await streamOf(session, 'wide', null);
    const read = await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    for (const id of readers()) process.kill(Number(id), 'SIGKILL');
    await expect(readRows(read, 2)).rejects.toMatchObject({ code: 'source.connection_lost' });
    expect((await session.server()).product).toBe('Apache Derby');
    await session.close();
  });

  test('a session that ended in order leaves its process to the next one; one that was left in the middle takes it along', async () => {
    const first = await openSession(database.connection);
    expect((await first.server()).product).toBe('Apache Derby');
    const used = readers();
    await first.close();
    const second = await openSession(database.connection);
    expect(readers()).toEqual(used);
    const stream = await streamOf(second, 'wide', null);
    const read = await second.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    read.stream.destroy();
    await second.close();
    await waitFor('its process to end', () => (readers().length === used.length - 1 ? true : null));
  });

  test('a reader that hangs ends after the statement timeout', async () => {
    const patient = await openSession(database.connection);
    const stream = await streamOf(patient, 'wide', null);
    await patient.close();
    const session = await openSession(database.connection, { statementTimeoutMs: 2_000 });
    const read = await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    for (const id of readers()) process.kill(Number(id), 'SIGSTOP');
    await expect(readRows(read, 2)).rejects.toMatchObject({ code: 'source.statement_timeout' });
    await noReaders();
  });

  test('aborting in the middle of a read ends it, and the reader', async () => {
    const controller = new AbortController();
    const session = await openSession(database.connection, { signal: controller.signal });
    const stream = await streamOf(session, 'wide', null);
    const read = await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    const reading = readRows(read, 2);
    controller.abort();
    await expect(reading).rejects.toMatchObject({ code: 'batch.cancelled' });
    await expect(session.server()).rejects.toMatchObject({ code: 'batch.cancelled' });
    await noReaders();
  });

  test('a consumer that does not read holds the reader back', async () => {
    const session = await openSession(database.connection);
    const stream = await streamOf(session, 'wide', null);
    const read = await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(read.stream.readableLength).toBeLessThan(1024 * 1024);
    expect(read.rowsRead()).toBe(0);
    expect((await readRows(read, 2)).rows).toHaveLength(16_384);
  });

  test('a dropped column and a dropped table have their own codes', async () => {
    await database.run('CREATE TABLE gone (id int NOT NULL PRIMARY KEY, v int)');
    const session = await openSession(database.connection);
    const stream = await streamOf(session, 'gone', null);
    const part = { from: null, to: null, rowEstimate: -1 };
    await database.run('ALTER TABLE gone DROP COLUMN v');
    await expect(session.readPart(stream, part, 'copy-text')).rejects.toMatchObject({ code: 'source.column_missing', message: expect.stringContaining('APP.GONE') });
    await database.run('DROP TABLE gone');
    await expect(session.readPart(stream, part, 'copy-text')).rejects.toMatchObject({ code: 'source.table_missing' });
    expect((await session.describe('wide')).key).toEqual(['ID']);
  });
});
