/** Connections as the real driver makes them, to listeners that are closed, silent, of another kind, or refuse. */
import { createServer, type Server, type Socket } from 'node:net';
import oracledb from 'oracledb';
import fc from 'fast-check';
import { attributesOf, connectionSchema, descriptorOf } from '../../connectors/oracle/connection.ts';
import { toConnectError, toTidemarkError } from '../../connectors/oracle/errors.ts';
import { manifest } from '../../connectors/oracle/manifest.ts';
import type { ErrorCode } from '../../schemas/errors.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { freePort } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';

const WALLET = '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const base = { host: '127.0.0.1', service_name: 'ORCLPDB1', user: 'reader', password: 'pass-canary' };
const options = { applicationName: 'tidemark hq', connectTimeoutMs: 1000, statementTimeoutMs: 1000 };

async function listen(onConnect: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnect(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onFileEnd(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as { port: number }).port;
}

async function connectError(connection: object, signal = new AbortController().signal): Promise<TidemarkError> {
  const settings = manifest.connectionSchema.parse({ ...base, ...connection });
  const error: unknown = await (await manifest.load()).connect(settings, { ...options, signal }).then((session) => session.close(), (reason: unknown) => reason);
  if (!(error instanceof TidemarkError)) throw new Error('connected, or failed with an error of another kind');
  return error;
}

/** A REFUSE packet of Oracle's Transparent Network Substrate: header, reasons, and the listener's text. */
function refusal(text: string): Buffer {
  const body = Buffer.from(text, 'latin1');
  const head = Buffer.from([0, 0, 0, 0, 4, 0, 0, 0, 34, 0, 0, 0]);
  head.writeUInt16BE(head.length + body.length, 0);
  head.writeUInt16BE(body.length, 10);
  return Buffer.concat([head, body]);
}

const unknownService = (code: number): string => `(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR=${code})(ERROR_STACK=(ERROR=(CODE=${code})(EMFI=4))))`;

describe('oracle connection failures', () => {
  it('a closed port', async () => {
    const error = await connectError({ port: await freePort() });
    expect(error).toMatchObject({ code: 'source.unreachable', retry: 'unreachable' });
    expect(error.message).toContain('127.0.0.1:');
    expect(JSON.stringify(error.info())).not.toContain('canary');
  });

  it('an unknown host', async () => expect(await connectError({ host: 'no-such-host.invalid' })).toMatchObject({ code: 'source.host_unknown' }));

  it('a port that speaks something else', async () => {
    const port = await listen((socket) => socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')));
    expect(await connectError({ port })).toMatchObject({ code: 'source.protocol' });
  });

  it('a port that hangs up', async () => {
    const port = await listen((socket) => socket.on('data', () => socket.end()));
    expect(await connectError({ port })).toMatchObject({ code: 'source.protocol' });
  });

  it('a silent port', async () => {
    const port = await listen(() => undefined);
    expect(await connectError({ port })).toMatchObject({ code: 'source.unreachable' });
  });

  it.each([['a service', 12514, {}], ['a SID', 12505, { service_name: undefined, sid: 'ORCL' }]])('%s that the listener does not know', async (_what, code, more) => {
    const port = await listen((socket) => socket.on('data', () => socket.write(refusal(unknownService(code)))));
    expect(await connectError({ port, ...more })).toMatchObject({ code: 'source.database_missing' });
  });

  it('a listener that refuses for another reason', async () => {
    const port = await listen((socket) => socket.on('data', () => socket.write(refusal(unknownService(12516)))));
    expect(await connectError({ port })).toMatchObject({ retry: 'unreachable' });
  });

  it('TLS to a port in clear text', async () => {
    const port = await listen((socket) => socket.on('data', () => socket.end('no TLS here')));
    expect(await connectError({ port, tls: { mode: 'verify-full' } })).toMatchObject({ code: 'source.tls_failed' });
  });

  it('an abort while connecting', async () => {
    const abort = new AbortController();
    const port = await listen(() => abort.abort());
    expect(await connectError({ port }, abort.signal)).toMatchObject({ code: 'batch.cancelled' });
  });
});

describe('oracle connection settings', () => {
  const parse = (more: object) => connectionSchema.safeParse({ ...base, ...more });

  it('makes a descriptor of typed fields', () => {
    const plain = connectionSchema.parse(base);
    expect(descriptorOf(plain)).toBe('(DESCRIPTION=(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT=1521))(CONNECT_DATA=(SERVICE_NAME=ORCLPDB1)))');
    expect(descriptorOf(connectionSchema.parse({ ...base, tls: { mode: 'verify-ca' } }))).toContain('(PROTOCOL=tcps)(HOST=127.0.0.1)(PORT=1521))(CONNECT_DATA=(SERVICE_NAME=ORCLPDB1))(SECURITY=(SSL_SERVER_DN_MATCH=no))');
    expect(descriptorOf(connectionSchema.parse({ ...base, host: 'db.bank.example' }))).toContain('(SSL_SERVER_DN_MATCH=yes)');
    expect(descriptorOf(connectionSchema.parse({ ...base, host: undefined, addresses: [{ host: 'localhost' }, { host: 'db.bank.example' }], tls: { mode: 'disable' } }))).not.toContain('tcps');
    const cluster = connectionSchema.parse({ ...base, host: undefined, service_name: undefined, sid: 'CBS', addresses: [{ host: 'a.bank.example' }, { host: 'b.bank.example', port: 2484 }], tls: { mode: 'verify-full', server_dn: 'CN=db.bank.example,O=Bank' } });
    expect(descriptorOf(cluster)).toBe('(DESCRIPTION=(ADDRESS_LIST=(LOAD_BALANCE=off)(FAILOVER=on)(ADDRESS=(PROTOCOL=tcps)(HOST=a.bank.example)(PORT=1521))(ADDRESS=(PROTOCOL=tcps)(HOST=b.bank.example)(PORT=2484)))(CONNECT_DATA=(SID=CBS))(SECURITY=(SSL_SERVER_DN_MATCH=yes)(SSL_SERVER_CERT_DN="CN=db.bank.example,O=Bank")))');
  });

  it('hands the wallet over by content, and whole seconds', () => {
    const settings = connectionSchema.parse({ ...base, wallet: WALLET, wallet_password: 'w' });
    expect(attributesOf(settings, { connectTimeoutMs: 1500 })).toEqual({
      user: 'reader', password: 'pass-canary', connectString: descriptorOf(settings), connectTimeout: 2, transportConnectTimeout: 2, expireTime: 1, program: 'tidemark',
      sslServerDNMatch: true, walletContent: WALLET, walletPassword: 'w',
    });
  });

  it('wants one of host and addresses, one of service_name and sid, and knows every key', () => {
    for (const wrong of [{ host: undefined }, { addresses: [{ host: 'x' }] }, { service_name: undefined }, { sid: 'X' }, { tns: 'x' }, { connectString: 'x' }, { tls: { mode: 'off' } }, { wallet: 'PEM' }, { wallet: WALLET, tls: { mode: 'disable' } }, { tls: { mode: 'verify-full', ca: WALLET } }, { tls: { mode: 'verify-ca', server_dn: 'CN=a' } }]) expect(parse(wrong).success).toBe(false);
  });

  it.each(['host', 'service_name', 'sid'] as const)('admits nothing in %s that could add to the descriptor', (field) => {
    fc.assert(
      fc.property(fc.string({ unit: fc.oneof(fc.constantFrom('(', ')', '=', ';', '{', '}', '"', "'", '\\', '\r', '\n', '\0', '\u2028', ' ', '/', '?', '@', ','), fc.constantFrom('a', 'Z', '0', '.', '_', '-')), minLength: 1 }), (text) => {
        const more = { tls: { mode: 'disable' }, ...(field === 'sid' ? { service_name: undefined, sid: text } : { [field]: text }) };
        const parsed = parse(more);
        if (!parsed.success) return;
        expect(descriptorOf(parsed.data).match(/[()="]/g)).toEqual(descriptorOf(connectionSchema.parse(field === 'sid' ? { ...base, service_name: undefined, sid: 'X' } : base)).match(/[()="]/g));
      }),
    );
    expect(parse(field === 'sid' ? { service_name: undefined, sid: 'X)(HOST=evil' } : { [field]: 'x)(HOST=evil' }).success).toBe(false);
  });

  it('lets no distinguished name leave its quotes', () => {
    for (const dn of ['CN=a")(HOST=evil', 'CN=a)', 'CN=(a', 'CN="a"', 'CN=a\n', 'x']) expect(parse({ tls: { mode: 'verify-full', server_dn: dn } }).success).toBe(false);
  });
});

describe('oracle errors', () => {
  const expected: readonly (readonly [string, ErrorCode])[] = [
    ['NJS-503', 'source.unreachable'], ['NJS-510', 'source.unreachable'], ['NJS-530', 'source.host_unknown'], ['NJS-516', 'source.database_missing'], ['NJS-518', 'source.database_missing'],
    ['NJS-506', 'source.tls_failed'], ['NJS-521', 'source.protocol'], ['NJS-533', 'source.protocol'], ['NJS-500', 'source.connection_lost'], ['NJS-123', 'source.statement_timeout'],
    ['ORA-01017', 'source.auth_failed'], ['ORA-28000', 'source.auth_failed'], ['ORA-01045', 'source.auth_failed'], ['ORA-12514', 'source.database_missing'], ['ORA-00942', 'source.table_missing'],
    ['ORA-01031', 'source.privilege_missing'], ['ORA-00904', 'source.column_missing'], ['ORA-01555', 'source.read_interrupted'], ['ORA-22924', 'source.read_interrupted'], ['ORA-08103', 'source.read_interrupted'],
    ['ORA-01466', 'source.read_interrupted'], ['ORA-00060', 'source.read_interrupted'], ['ORA-01013', 'source.statement_timeout'], ['ORA-00028', 'source.connection_lost'], ['ORA-03113', 'source.connection_lost'],
    ['ORA-03114', 'source.connection_lost'], ['ORA-00018', 'source.too_many_connections'], ['ORA-01033', 'source.unreachable'], ['ORA-01722', 'source.schema_changed'], ['ORA-99999', 'source.query_failed'],
  ];

  it.each(expected)('%s is %s, without the text of the server', (code, ours) => {
    const error = toTidemarkError(Object.assign(new Error(`${code}: value "row-canary"`), { code }), 'table BANK.T');
    expect(error.code).toBe(ours);
    expect(JSON.stringify(error.info())).not.toContain('canary');
    expect(error.message).toContain(code);
  });

  it('tells an end of line while connecting from one later', () => {
    const ended = Object.assign(new Error('NJS-500: connection was closed\nNJS-521: end-of-file'), { code: 'NJS-500' });
    expect(toConnectError(ended, 'x').code).toBe('source.protocol');
    expect(toTidemarkError(ended, 'x').code).toBe('source.connection_lost');
  });

  it('says what to install where the driver is missing', () => {
    expect(manifest.driverInstall).toBe('npm install oracledb@26.0.0');
    expect((oracledb as unknown as { versionString: string }).versionString).toBe('26.0.0');
  });
});
