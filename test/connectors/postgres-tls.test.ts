/** TLS: what is verified, and that nothing falls back to less. */
import { execFileSync } from 'node:child_process';
import { chownSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { manifest } from '../../connectors/postgres/manifest.ts';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres } from '../support/postgres.ts';

const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

let server: PrivatePostgres;
let ca: string;

/** A certificate for `127.0.0.1`, signed by itself, in the server's data folder. */
function makeCertificate(folder: string): string {
  const [key, certificate] = [join(folder, 'server.key'), join(folder, 'server.crt')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=tidemark-test', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  const { uid, gid } = statSync(folder);
  for (const file of [key, certificate]) chownSync(file, uid, gid);
  return readFileSync(certificate, 'utf8');
}

async function connect(tls: unknown, host = '127.0.0.1'): Promise<string> {
  const { port, user, password } = server.server;
  const connection = manifest.connectionSchema.parse({ host, port, database: 'postgres', user, password, ...(tls === undefined ? {} : { tls }) });
  const session = await (await manifest.load()).connect(connection, { applicationName: 'tidemark test', connectTimeoutMs: 5000, statementTimeoutMs: 5000, signal: new AbortController().signal });
  try {
    return (await session.server()).product;
  } finally {
    await session.close();
  }
}

const suite = hasOpenssl ? describeWith : (_: unknown, name: string, tests: () => void): void => describe.skip(`${name} [needs openssl]`, tests);

suite({ postgres: true }, 'PostgreSQL over TLS', () => {
  beforeAll(async () => {
    server = await PrivatePostgres.start();
    const { dataFolder } = server.server;
    ca = makeCertificate(dataFolder);
    const database = await server.createDatabase('tls');
    await database.query(`ALTER SYSTEM SET ssl = on`);
    await database.query('SELECT pg_reload_conf()');
    while ((await database.value('SHOW ssl')) !== 'on') await new Promise((resolve) => setTimeout(resolve, 20));
  });

  test('verify-full takes the certificate of the given authority and name', async () => {
    await expect(connect({ mode: 'verify-full', ca })).resolves.toBe('PostgreSQL');
  });

  test('verify-full refuses an unknown authority', async () => {
    await expect(connect({ mode: 'verify-full' })).rejects.toMatchObject({ code: 'source.tls_failed' });
  });

  test('verify-full refuses another host name', async () => {
    await expect(connect({ mode: 'verify-full', ca }, 'localhost')).rejects.toMatchObject({ code: 'source.tls_failed' });
  });

  test('require encrypts without asking who answers', async () => {
    await expect(connect({ mode: 'require' })).resolves.toBe('PostgreSQL');
  });
});
