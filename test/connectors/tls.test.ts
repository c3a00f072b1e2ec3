/** The TLS policy of all connectors, with real certificates: what is verified, what each failure is called, and that nothing falls back. */
import { chownSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import type { ConnectorManifest } from '../../connectors/connector.ts';
import { manifest as db2 } from '../../connectors/db2/manifest.ts';
import { manifest as mysql } from '../../connectors/mysql/manifest.ts';
import { manifest as oracle } from '../../connectors/oracle/manifest.ts';
import { manifest as postgres } from '../../connectors/postgres/manifest.ts';
import { isThisMachine, tlsModeOf, type TlsChoice } from '../../connectors/tls.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { Authority, hasOpenssl, type ServerCertificate } from '../support/certificates.ts';
import { createDerby, type DerbyDatabase } from '../support/derby.ts';
import { describeWith } from '../support/describe-with.ts';
import { MariadbDatabase, privateMariadb } from '../support/mariadb.ts';
import { PrivatePostgres } from '../support/postgres.ts';
import { serverUser, waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { scratchFolder } from '../support/shared-server.ts';

/** An address of this machine that is none of the loopback's: for the policy it is another machine. */
const ELSEWHERE = '0.0.0.0';

const bank = hasOpenssl ? new Authority('bank') : null;
const stranger = hasOpenssl ? new Authority('stranger') : null;
const ca = bank?.pem ?? '';
const issue = (names: readonly string[], days?: number): ServerCertificate => bank?.issue(names, days) ?? { key: '', certificate: '' };
const CERTIFICATES = {
  good: issue(['IP:127.0.0.1', `IP:${ELSEWHERE}`]),
  'of another host': issue(['DNS:db.bank.example', 'DNS:localhost']),
  expired: issue(['IP:127.0.0.1'], -1),
} as const;
type Named = keyof typeof CERTIFICATES;

async function outcome(manifest: ConnectorManifest, connection: Readonly<Record<string, unknown>>): Promise<string> {
  const options = { applicationName: 'tidemark tls', connectTimeoutMs: 10_000, statementTimeoutMs: 10_000, signal: new AbortController().signal };
  try {
    const session = await (await manifest.load()).connect(manifest.connectionSchema.parse(connection), options);
    await session.server();
    await session.close();
    return 'connected';
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    expect(JSON.stringify(error.info())).not.toMatch(/BEGIN|canary/);
    return `${error.code}: ${error.message.replace(/^.*?:\d+: /, '')} ${error.hint ?? ''}`;
  }
}

/** What is written under `tls:`, the host, the server's certificate, and what comes of it. */
const CASES: readonly (readonly [string, TlsChoice | undefined, string, Named, RegExp])[] = [
  ['verify-full, an address that the certificate names', { mode: 'verify-full', ca }, '127.0.0.1', 'good', /^connected$/],
  ['a ca without a mode is verify-full', { ca }, '127.0.0.1', 'of another host', /tls_failed: .*does not name this host/],
  ['verify-full, a name that the certificate has', { mode: 'verify-full', ca }, 'localhost', 'of another host', /^connected$/],
  ['verify-full, a name that it has not', { mode: 'verify-full', ca }, 'localhost', 'good', /tls_failed: .*does not name this host.*connection\.host/],
  ['verify-full, an address that it has not', { mode: 'verify-full', ca }, '127.0.0.1', 'of another host', /tls_failed: .*does not name this host/],
  ['verify-full, an unknown authority', { mode: 'verify-full' }, '127.0.0.1', 'good', /tls_failed: .*unknown authority.*tls\.ca/],
  ['verify-full, the authority of somebody else', { mode: 'verify-full', ca: stranger?.pem ?? '' }, '127.0.0.1', 'good', /tls_failed: .*unknown authority/],
  ['verify-full, expired', { mode: 'verify-full', ca }, '127.0.0.1', 'expired', /tls_failed: .*has expired/],
  ['verify-ca does not ask for the name', { mode: 'verify-ca', ca }, '127.0.0.1', 'of another host', /^connected$/],
  ['verify-ca, an unknown authority', { mode: 'verify-ca', ca: stranger?.pem ?? '' }, '127.0.0.1', 'good', /tls_failed: .*unknown authority/],
  ['verify-ca, expired', { mode: 'verify-ca', ca }, '127.0.0.1', 'expired', /tls_failed: .*has expired/],
  ['require asks nothing', { mode: 'require' }, '127.0.0.1', 'expired', /^connected$/],
  ['require with a ca checks it', { mode: 'require', ca: stranger?.pem ?? '' }, '127.0.0.1', 'good', /tls_failed: .*unknown authority/],
  ['nothing written, another machine: verified', undefined, ELSEWHERE, 'good', /tls_failed: .*unknown authority/],
  ['nothing written, this machine: plain', undefined, '127.0.0.1', 'expired', /^connected$/],
  ['disable, another machine', { mode: 'disable' }, ELSEWHERE, 'good', /^connected$/],
];

const WITHOUT_TLS: readonly (readonly [string, TlsChoice | undefined, string, RegExp])[] = [
  ['require', { mode: 'require' }, '127.0.0.1', /tls_failed: .*does not offer TLS/],
  ['verify-full', { mode: 'verify-full', ca }, '127.0.0.1', /tls_failed: .*does not offer TLS/],
  ['nothing written, another machine', undefined, ELSEWHERE, /tls_failed: .*does not offer TLS.*tls: \{ mode: disable \}/],
  ['disable, another machine', { mode: 'disable' }, ELSEWHERE, /^connected$/],
];

const suite = hasOpenssl ? describeWith : (_: unknown, name: string, tests: () => void): void => describe.skip(`${name} [needs openssl]`, tests);

suite({ postgres: true }, 'PostgreSQL over TLS', () => {
  let server: PrivatePostgres;
  const connection = (host: string, tls?: TlsChoice) => {
    const { port, user, password } = server.server;
    return { host, port, user, password, database: 'postgres', ...(tls === undefined ? {} : { tls }) };
  };
  let use: (named: Named) => Promise<void>;

  beforeAll(async () => {
    server = await PrivatePostgres.start();
    const { uid, gid } = statSync(server.server.dataFolder);
    const database = await server.createDatabase('tls');
    use = async (named) => {
      const { key, certificate } = CERTIFICATES[named];
      for (const [name, text] of [['server.key', key], ['server.crt', certificate]] as const) {
        const file = join(server.server.dataFolder, name);
        writeFileSync(file, text, { mode: 0o600 });
        chownSync(file, uid, gid);
      }
      const before = await database.value('SELECT pg_conf_load_time()');
      await database.query('ALTER SYSTEM SET ssl = on');
      await database.query('SELECT pg_reload_conf()');
      await waitFor('the certificate', async () => ((await database.value('SELECT pg_conf_load_time()')) !== before && (await database.value('SHOW ssl')) === 'on' ? true : null));
    };
  });

  test.each(WITHOUT_TLS)('no TLS at the server: %s', async (_name, tls, host, expected) => expect(await outcome(postgres, connection(host, tls))).toMatch(expected));

  test.each(CASES)('%s', async (_name, tls, host, named, expected) => {
    await use(named);
    expect(await outcome(postgres, connection(host, tls))).toMatch(expected);
  });
});

suite({ mariadb: true }, 'MariaDB over TLS', () => {
  const folder = scratchFolder('tls-mariadb');
  const file = (name: string): string => join(folder, 'tls', name);
  const write = (named: Named): void => {
    const user = serverUser(['mysql', 'nobody']);
    mkdirSync(join(folder, 'tls'), { recursive: true });
    const { key, certificate } = CERTIFICATES[named];
    for (const [name, text] of [['server.key', key], ['server.crt', certificate]] as const) {
      writeFileSync(file(name), text, { mode: 0o600 });
      if (user !== null) chownSync(file(name), user.uid, user.gid);
    }
  };
  let plain: MariadbDatabase;
  let encrypted: MariadbDatabase;
  const connection = ({ server }: MariadbDatabase, host: string, tls?: TlsChoice) => ({ host, port: server.port, user: server.user, password: server.password, database: 'mysql', ...(tls === undefined ? {} : { tls }) });

  beforeAll(async () => {
    write('good');
    const open = async (options: readonly string[]): Promise<MariadbDatabase> => {
      const database = new MariadbDatabase(await privateMariadb(options), 'mysql');
      onFileEnd(() => database.close());
      return database;
    };
    plain = await open([]);
    encrypted = await open([`--ssl-cert=${file('server.crt')}`, `--ssl-key=${file('server.key')}`]);
  });

  test.each(WITHOUT_TLS)('no TLS at the server: %s', async (_name, tls, host, expected) => expect(await outcome(mysql, connection(plain, host, tls))).toMatch(expected));

  test.each(CASES)('%s', async (_name, tls, host, named, expected) => {
    write(named);
    await encrypted.query('FLUSH SSL');
    expect(await outcome(mysql, connection(encrypted, host, tls))).toMatch(expected);
  });

  test('an encrypted session is encrypted', async () => {
    write('good');
    await encrypted.query('FLUSH SSL');
    const session = await (await mysql.load()).connect(mysql.connectionSchema.parse(connection(encrypted, '127.0.0.1', { ca })), {
      applicationName: 'tidemark tls', connectTimeoutMs: 10_000, statementTimeoutMs: 10_000, signal: new AbortController().signal,
    });
    expect(Number(await encrypted.value("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'SSL_FINISHED_ACCEPTS'"))).toBeGreaterThan(0);
    await session.close();
  });
});

/** Listens with TLS; what comes decrypted goes to `onSocket`. */
async function tlsListener({ key, certificate }: ServerCertificate, onSocket: (socket: Socket) => void): Promise<number> {
  return listening(createTlsServer({ key, cert: certificate }, onSocket).on('tlsClientError', () => undefined));
}

async function listening(server: Server): Promise<number> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onFileEnd(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const hangUp = (socket: Socket): void => void socket.on('error', () => undefined).once('data', () => socket.destroy());

/** `require` is not among them: these drivers check a certificate in every mode. */
const VERIFYING = CASES.filter(([, tls]) => tls?.mode !== 'require');

suite({ db2: true }, 'Db2 over TLS', () => {
  let database: DerbyDatabase;
  const connection = (host: string, port: number, tls?: TlsChoice) => ({ ...database.connection, host, port, ...(tls === undefined ? {} : { tls }) });

  beforeAll(async () => {
    database = await createDerby('tls');
    await database.run('VALUES 1');
  });

  /** The server, behind an end of TLS: the driver's own TLS is real. */
  const secured = (named: Named): Promise<number> =>
    tlsListener(CERTIFICATES[named], (socket) => {
      const upstream = connect(database.server.port, database.server.host);
      for (const end of [socket, upstream]) end.on('error', () => undefined).on('close', () => [socket, upstream].forEach((each) => each.destroy()));
      socket.pipe(upstream).pipe(socket);
    });

  test.each(VERIFYING.filter(([, tls]) => tls !== undefined && tls.mode !== 'disable'))('%s', async (_name, tls, host, named, expected) => {
    expect(await outcome(db2, connection(host, await secured(named), tls))).toMatch(expected);
  });

  test('require checks the certificate', async () => expect(await outcome(db2, connection('127.0.0.1', await secured('expired'), { mode: 'require', ca }))).toMatch(/has expired/));

  test.each(WITHOUT_TLS)('no TLS at the server: %s', async (_name, tls, host, expected) => {
    expect(await outcome(db2, connection(host, database.server.port, tls))).toMatch(expected);
  });
});

suite({}, 'Oracle over TLS', () => {
  const wallet = (authority: string): string => `${CERTIFICATES.good.key}${CERTIFICATES.good.certificate}${authority}`;
  const login = { user: 'tidemark', password: 'canary', service_name: 'BANK' };
  /** Authorities stand in the wallet. */
  const connection = (host: string, port: number, tls?: TlsChoice) => ({
    ...login, host, port, ...(tls?.ca === undefined ? {} : { wallet: wallet(tls.ca) }), ...(tls === undefined ? {} : { tls: tls.mode === undefined ? {} : { mode: tls.mode } }),
  });
  const passed = /^source\.(protocol|connection_lost|unreachable)/;

  test.each(VERIFYING.filter(([, tls, host]) => tls?.mode !== 'disable' && !(tls === undefined && host === '127.0.0.1')))('%s', async (_name, tls, host, named, expected) => {
    // What answers is no Oracle server: past TLS, that is what fails.
    const pattern = expected.source.includes('connected') ? passed : new RegExp(expected.source.replace('.*tls\\.ca', '.*wallet').replace('.*connection\\.host', ''));
    expect(await outcome(oracle, connection(host, await tlsListener(CERTIFICATES[named], hangUp), tls))).toMatch(pattern);
  });

  test.each(WITHOUT_TLS.filter(([, tls]) => tls?.mode !== 'disable'))('no TLS at the server: %s', async (_name, tls, host, expected) => {
    expect(await outcome(oracle, connection(host, await listening(createServer(hangUp)), tls))).toMatch(expected);
  });
});

describe('the policy', () => {
  test.each([['localhost', true], ['127.0.0.1', true], ['127.8.9.10', true], ['::1', true], ['::ffff:127.0.0.1', true], ['/var/run/postgresql', true], ['0.0.0.0', false], ['10.0.0.1', false], ['db.bank.example', false], ['localhost.bank.example', false], ['127.0.0.1.bank.example', false]])('%s is this machine: %s', (host, here) => {
    expect(isThisMachine(host)).toBe(here);
    expect(tlsModeOf(undefined, [host])).toBe(here ? 'disable' : 'verify-full');
  });

  test('one address elsewhere is enough', () => {
    expect(tlsModeOf(undefined, ['localhost', 'db.bank.example'])).toBe('verify-full');
  });

  test.each([postgres, mysql, db2, oracle].map((manifest) => [manifest.kind, manifest] as const))('%s takes every mode, and says what belongs into ca', (_kind, manifest) => {
    const login = { host: 'db.bank.example', database: 'BANK', user: 'u', password: 'p' };
    const connection = manifest.kind === 'oracle' ? { host: login.host, service_name: 'BANK', user: 'u', password: 'p' } : login;
    for (const mode of ['disable', 'require', 'verify-ca', 'verify-full']) expect([mode, manifest.connectionSchema.safeParse({ ...connection, tls: { mode } }).success]).toEqual([mode, true]);
    for (const tls of [{ mode: 'prefer' }, { mode: 'no-verify' }, { ca: '/etc/ssl/ca.pem' }, { rejectUnauthorized: false }]) expect(manifest.connectionSchema.safeParse({ ...connection, tls }).success).toBe(false);
    expect(manifest.connectionSchema.safeParse(connection).success).toBe(true);
  });
});
