/** What `check` and `plan` say of sources that can't be used: what to install, what to write. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { scratchFolder } from '../support/shared-server.ts';
import { Tidemark } from '../support/tidemark.ts';

describeWith({ postgres: true }, 'sources that can not be used', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;

  beforeAll(async () => {
    [source, target] = [await createDatabase('source'), await createDatabase('target')];
    await source.query('CREATE TABLE item (id int PRIMARY KEY)');
  });

  const tidemarkOf = (sources: string, env: Readonly<Record<string, string>> = {}) =>
    new Tidemark(`destination: { url: "\${DESTINATION_URL}" }\nsources:\n${sources}\n`, { ...source.secrets, DESTINATION_URL: target.url, DB2_PASSWORD: 'secret', ...env });
  const named = (id: string, connection: string) => `  - { id: ${id}, kind: postgres, connection: ${connection}, streams: [item] }`;

  test('without the Db2 driver everything else runs, and check says what to install', async () => {
    // The driver lies under the home folder.
    const tidemark = tidemarkOf(
      `${named('branch', source.connection)}\n  - { id: hq, kind: db2, connection: { host: 127.0.0.1, port: 50000, database: CBS, user: u, password: "\${DB2_PASSWORD}" }, streams: [A] }`,
      { HOME: scratchFolder('home') },
    );
    const { code, json } = await tidemark.run('check', '--json');
    expect(code).toBe(3);
    expect(json?.results).toMatchObject([
      { id: 'branch', isConnected: true },
      { id: 'hq', isConnected: false, error: { code: 'source.driver_missing', hint: expect.stringContaining('node scripts/install-db2.js') } },
    ]);
    expect((await tidemark.run('validate')).code).toBe(0);
    const plan = await tidemark.run('plan', '--json');
    expect([plan.code, plan.stdout.includes('source.driver_missing')]).toEqual([0, true]);
  });

  test('a server of another machine without TLS: check says what to write, plan goes on, and written plain text is plain text', async () => {
    // For the policy this address is no loopback address; it leads here all the same.
    const elsewhere = source.connection.replace('127.0.0.1', '0.0.0.0');
    const tidemark = tidemarkOf([named('unsaid', elsewhere), named('said', elsewhere.replace(' }', ', tls: { mode: disable } }')), named('here', source.connection)].join('\n'));
    const { code, json } = await tidemark.run('check', '--json');
    expect(code).toBe(1);
    expect(json?.results).toMatchObject([
      { id: 'unsaid', isConnected: false, error: { code: 'source.tls_failed', message: expect.stringContaining('does not offer TLS'), hint: expect.stringContaining('tls: { mode: disable }') } },
      { id: 'said', isConnected: true },
      { id: 'here', isConnected: true },
    ]);
    const plan = await tidemark.run('plan', '--json');
    expect(plan.code).toBe(0);
    expect(plan.json?.changes?.map(({ object }) => object)).toEqual(expect.arrayContaining(['unsaid', 'said.item', 'here.item']));
    expect(plan.stdout).toContain('not inspected: source.tls_failed');
  });

  test('plan waits for no name service: what looks names up is a process that ends with it', async () => {
    const folder = scratchFolder('names');
    const [hook, seen] = [join(folder, 'hook.mjs'), join(folder, 'seen')];
    // A lookup inside the command would hold its end for as long as the resolver tries.
    writeFileSync(hook, `import dns from 'node:dns'; import { appendFileSync } from 'node:fs';
const { lookup } = dns; dns.lookup = (host, ...rest) => { appendFileSync(${JSON.stringify(seen)}, host + '\\n'); return lookup(host, ...rest); };`);
    const unknown = (n: number) => named(`lost-${n}`, '{ host: no-such-host.invalid, port: 5432, database: x, user: u, password: "${DB2_PASSWORD}" }');
    const tidemark = tidemarkOf([unknown(1), unknown(2), named('here', source.connection.replace('127.0.0.1', 'localhost'))].join('\n'), { NODE_OPTIONS: `--import=${hook}` });
    const plan = await tidemark.run('plan', '--json');
    expect(plan.code).toBe(0);
    expect(plan.stdout.match(/not inspected: source\.(host_unknown|unreachable)/g)).toHaveLength(2);
    const names = readFileSync(seen, 'utf8').split('\n');
    expect(names).toContain('localhost');
    expect(names).not.toContain('no-such-host.invalid');
  });
});
