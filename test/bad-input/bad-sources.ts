/** Sources and targets that are wrong, for one product: each its own code, exit 1, and nothing changed in the destination. */
import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { freePort } from '../support/processes.ts';
import { Tidemark } from '../support/tidemark.ts';
import { errorOf, expectClear, expectQuiet, NO_HOST } from './clear-error.ts';

export type Product = 'postgres' | 'mariadb';

const WRONG_PASSWORD = 'wr0ng-but-secret';
const READER_PASSWORD = 'read3r-secret';

interface BadSource {
  readonly id: string;
  readonly code: string;
  /** Fields of the connection that differ from the good one. */
  readonly connection?: Readonly<Record<string, string>>;
  readonly table?: string;
  /** What goes wrong after a good first sync. */
  readonly breaks?: { readonly source?: string; readonly target?: string };
  /** `check` sees it too. */
  readonly check?: true;
}

const table = (name: string) => `CREATE TABLE ${name} (id bigint PRIMARY KEY, at timestamp(6) NOT NULL DEFAULT '2024-01-01 00:00:00', n bigint, v varchar(60)); INSERT INTO ${name} (id, n, v) VALUES (1, 1, 'a'), (2, 2, 'b'); CREATE INDEX ${name}_at ON ${name} (at)`;

const badSources = (closedPort: number, reader: string): readonly BadSource[] => [
  { id: 'wrong_password', code: 'source.auth_failed', connection: { password: `"\${WRONG_PASSWORD}"` }, check: true },
  { id: 'closed_port', code: 'source.unreachable', connection: { port: String(closedPort) }, check: true },
  { id: 'unknown_host', code: 'source.host_unknown', connection: { host: NO_HOST }, check: true },
  { id: 'missing_database', code: 'source.database_missing', connection: { database: 'no_such_database' }, check: true },
  { id: 'missing_table', code: 'source.table_missing', table: 'no_such_table' },
  { id: 'missing_privilege', code: 'source.privilege_missing', connection: { user: reader, password: `"\${READER_PASSWORD}"` }, table: 'closed' },
  { id: 'dropped_key', code: 'source.key_missing', breaks: { source: "ALTER TABLE dropped_key DROP COLUMN id; INSERT INTO dropped_key (v) VALUES ('later')" } },
  { id: 'dropped_cursor', code: 'source.cursor_missing', breaks: { source: "ALTER TABLE dropped_cursor DROP COLUMN at; INSERT INTO dropped_cursor (id, v) VALUES (9, 'later')" } },
  {
    id: 'incompatible_target',
    code: 'target.type_mismatch',
    breaks: {
      source: "INSERT INTO incompatible_target (id, at, n, v) VALUES (3, '2024-01-02 00:00:00', 3, 'c')",
      target: 'ALTER TABLE incompatible_target.incompatible_target ALTER COLUMN n TYPE date USING NULL',
    },
  },
];

function configuration(product: Product, good: Readonly<Record<string, string>>, bad: readonly BadSource[]): string {
  const block = ({ id, connection, table: name }: Pick<BadSource, 'id' | 'connection' | 'table'>) => {
    const fields = Object.entries({ ...good, ...connection }).map(([key, value]) => `${key}: ${value}`);
    return `  - id: ${id}\n    kind: ${product}\n    connection: { ${fields.join(', ')} }\n    streams:\n      - { table: ${name ?? id}, cursor: at, key: [id] }`;
  };
  return `destination:\n  url: \${DESTINATION_URL}\ndefaults:\n  poll_interval: 365d\n  breaker: { failures: 1000 }\nsources:\n${[{ id: 'fine' }, ...bad].map(block).join('\n')}\n`;
}

/** Every table outside Tidemark's own schema with the number and a hash of its rows, and its columns. */
async function contents(target: PostgresDatabase): Promise<string[]> {
  const tables = await target.query("SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables WHERE table_schema NOT IN ('tidemark', 'pg_catalog', 'information_schema') AND table_schema NOT LIKE 'pg_%' ORDER BY 1");
  const found: string[] = [];
  for (const { name } of tables) {
    const rows = await target.value(`SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM ${name} t`);
    const columns = await target.value("SELECT string_agg(attname || ' ' || atttypid::regtype, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped", [name]);
    found.push(`${name}: ${rows}: ${columns}`);
  }
  return found;
}

async function prepare(product: Product) {
  const source = product === 'postgres' ? await createDatabase('bad') : await createMariadb('bad');
  const target = await createDatabase('target');
  const reader = `reader_${source.name}`;
  const bad = badSources(await freePort(), reader);
  const names = ['fine', 'closed', ...bad.filter(({ id }) => id !== 'missing_table').map(({ id }) => id)];
  for (const name of names) await source.query(table(name));
  await source.query(
    product === 'postgres'
      ? `CREATE ROLE "${reader}" LOGIN PASSWORD '${READER_PASSWORD}'; GRANT SELECT ON fine TO "${reader}"`
      : `CREATE USER '${reader}'@'%' IDENTIFIED BY '${READER_PASSWORD}'; GRANT SELECT ON fine TO '${reader}'@'%'`,
  );
  const { host, port, user } = source.server;
  const password = product === 'postgres' ? '"${POSTGRES_PASSWORD}"' : '"${MARIADB_PASSWORD}"';
  const good = { host, port: String(port), database: source.name, user, password };
  const secrets = { ...source.secrets, WRONG_PASSWORD, READER_PASSWORD };
  const tidemark = await Tidemark.start(configuration(product, good, bad), { ...secrets, DESTINATION_URL: target.url });
  await tidemark.run('apply', '--yes', '--json');
  await tidemark.must('sync', 'fine', '--json');
  for (const { id, breaks } of bad) {
    if (breaks === undefined) continue;
    await tidemark.must('sync', id, '--json');
    if (breaks.source !== undefined) await source.query(breaks.source);
    if (breaks.target !== undefined) await target.query(breaks.target);
  }
  return { tidemark, target, bad, secrets: [...Object.values(secrets), target.server.password] };
}

export function testBadSources(product: Product): void {
  describeWith({ postgres: true, temporal: true, ...(product === 'mariadb' ? { mariadb: true as const } : {}) }, `bad sources, ${product}`, () => {
    let prepared: Awaited<ReturnType<typeof prepare>>;
    beforeAll(async () => {
      prepared = await prepare(product);
    });
    const cases = badSources(0, '').map(({ id, code, check }) => [id, code, check ?? false] as const);

    test.each(cases)('%s ends with %s', async (id, code) => {
      const { tidemark, target, secrets } = prepared;
      const before = await contents(target);
      const result = await tidemark.run('sync', id, '--json');
      const error = errorOf(result);
      expect({ exit: result.code, code: error.code }).toEqual({ exit: 1, code });
      expectClear(error, secrets);
      expectQuiet(result, secrets);
      expect(await contents(target)).toEqual(before);
    });

    test.each(cases.filter(([, , check]) => check))('check names %s: %s', async (id, code) => {
      const { tidemark, secrets } = prepared;
      const result = await tidemark.run('check', id, '--json');
      expect({ exit: result.code, code: errorOf(result).code, connected: result.json?.results?.[0]?.isConnected }).toEqual({ exit: 1, code, connected: false });
      expectClear(errorOf(result), secrets);
      expectQuiet(result, secrets);
    });

    test('a good neighbour still syncs', async () => {
      const { streams } = await prepared.tidemark.must('sync', 'fine', '--json');
      expect(streams?.map(({ status }) => status)).toEqual(['completed']);
    });

    test('workers and commands printed no secret', () => {
      for (const [, text] of prepared.tidemark.printed()) for (const secret of prepared.secrets) expect(text.includes(secret)).toBe(false);
    });
  });
}
