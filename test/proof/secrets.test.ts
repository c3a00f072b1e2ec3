/**
 * No password and no row's value in Temporal's histories, its database, logs, output or errors. Rows that hold a marker are synced well,
 * refused by a type, by a constraint, a unique index and a trigger of the target (PostgreSQL and MariaDB quote values in each of those
 * errors); then everything that Tidemark and Temporal wrote is searched for the marker and the passwords in all their spellings.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { describeWith } from '../support/describe-with.ts';
import { everyFile } from '../support/files-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { leaks } from '../support/spellings.ts';
import { exportHistory, listWorkflows } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';
import type { RunningProcess } from '../support/processes.ts';

const MARKER = 'MARKER-4711-of-a-row-Zürich';
const KEY = 'KEYMARK-0815-of-a-row';
/** Characters that escaping tends to get wrong. */
const SOURCE_PASSWORD = 'C4n"ary\\pass%word+of/source-é';
const TARGET_PASSWORD = 'C4n@ry:pass?word#of target-é';
const WRONG_PASSWORD = 'C4nary-that-is-wr0ng';

const TEXTS = { marker: MARKER, key: KEY, 'source password': SOURCE_PASSWORD, 'target password': TARGET_PASSWORD, 'wrong password': WRONG_PASSWORD };

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
const STREAMS = ['plain', 'uniquely', 'checked', 'triggered', 'retyped'] as const;

async function prepareSources() {
  const source = await createDatabase('secret');
  const mariadb = await createMariadb('secret');
  const role = `role_${source.name}`;
  await source.query(`CREATE ROLE "${role}" LOGIN PASSWORD ${literal(SOURCE_PASSWORD)}`);
  for (const name of STREAMS) {
    await source.query(`CREATE TABLE ${name} (k text PRIMARY KEY, at timestamptz NOT NULL DEFAULT '2024-01-01Z', v text); INSERT INTO ${name} VALUES (${literal(`${KEY}-1`)}, DEFAULT, ${literal(`${MARKER} one`)})`);
  }
  await source.query(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO "${role}"`);
  await mariadb.query(`CREATE TABLE refused (k varchar(60) PRIMARY KEY, at datetime(6) NOT NULL, v varchar(100)); INSERT INTO refused VALUES ('${KEY}-1', '2024-01-01', '${MARKER} fine'), ('${KEY}-2', '2024-01-01', '${MARKER} \\0 refused')`);
  return { source, mariadb, role };
}

function configuration(source: PostgresDatabase, role: string, mariadbConnection: string): string {
  const { host, port } = source.server;
  const block = (id: string, password: string) =>
    `  - id: ${id}\n    kind: postgres\n    connection: { host: ${host}, port: ${port}, database: ${source.name}, user: ${role}, password: "\${${password}}" }\n    streams: [${STREAMS.map((table) => `{ table: ${table}, cursor: at }`).join(', ')}]\n`;
  return `destination:\n  url: \${DESTINATION_URL}\ndefaults:\n  poll_interval: 365d\n  bad_rows_max: 1.0\nsources:\n${block('canary', 'SOURCE_PASSWORD')}${block('locked_out', 'WRONG_PASSWORD')}  - id: maria\n    kind: mariadb\n    connection: ${mariadbConnection}\n    streams: [{ table: refused, cursor: at }]\n`;
}

async function breakTarget(target: PostgresDatabase): Promise<void> {
  await target.query('CREATE UNIQUE INDEX one_value ON canary.uniquely (v)');
  await target.query(`ALTER TABLE canary.checked ADD CONSTRAINT no_more CHECK (v NOT LIKE '% two') NOT VALID`);
  await target.query("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one: %', NEW.v; END $$");
  await target.query('CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON canary.triggered FOR EACH ROW EXECUTE FUNCTION refuse()');
  await target.query('ALTER TABLE canary.retyped ALTER COLUMN v TYPE integer USING 0');
}

describeWith({ postgres: true, mariadb: true, temporal: true }, 'nothing leaks', () => {
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  let up: RunningProcess;
  let address: string;
  let namespace: string;

  beforeAll(async () => {
    const { source, mariadb, role } = await prepareSources();
    target = await createDatabase('target');
    const owner = `owner_${target.name}`;
    await target.query(`CREATE ROLE "${owner}" LOGIN SUPERUSER PASSWORD ${literal(TARGET_PASSWORD)}`);
    const url = new URL(target.url);
    [url.username, url.password] = [owner, encodeURIComponent(TARGET_PASSWORD)];
    const started = await Tidemark.up(configuration(source, role, mariadb.connection), { ...mariadb.secrets, SOURCE_PASSWORD, WRONG_PASSWORD, DESTINATION_URL: url.href });
    ({ tidemark, up } = started);
    ({ temporal: address, namespace } = started.ready);
    await tidemark.run('apply', '--yes', '--json');
    await tidemark.must('sync', 'canary', '--json');
    await tidemark.run('sync', 'maria', '--json');
    await breakTarget(target);
    for (const name of STREAMS) {
      await source.query(`INSERT INTO ${name} VALUES (${literal(`${KEY}-2`)}, '2024-01-02Z', ${literal(`${MARKER} two`)}), (${literal(`${KEY}-3`)}, '2024-01-02Z', ${literal(`${MARKER} two`)})`);
    }
    for (const args of [['sync', 'canary'], ['sync', 'canary', '--json'], ['sync', 'locked_out', '--json'], ['check', '--json'], ['status'], ['status', '--json'], ['runs', '--json'], ['ledger', 'canary', 'plain', '--json']]) {
      await tidemark.run(...args);
    }
  });

  test('the plays were what they are meant to be: rows arrived, were refused, and streams failed', async () => {
    expect(await target.value(`SELECT count(*) FROM canary.plain WHERE v LIKE '${MARKER}%'`)).toBe('3');
    expect(Number(await target.value('SELECT count(*) FROM tidemark.quarantine'))).toBeGreaterThan(0);
    const { json } = await tidemark.run('sync', 'canary', '--json');
    const failed = json?.streams?.filter(({ status }) => status !== 'completed').map(({ stream }) => stream.replace(/^.*\./, '')).sort();
    expect(failed).toEqual(['checked', 'retyped', 'triggered', 'uniquely']);
  });

  test('exported histories', () => {
    const executions = listWorkflows(address, namespace).map(({ execution }) => execution);
    expect(executions.length).toBeGreaterThan(5);
    // What must be there is found by the same search.
    expect(executions.some((execution) => leaks(exportHistory(address, namespace, execution).text, { stream: 'uniquely' }).length > 0)).toBe(true);
    for (const execution of executions) {
      const { text } = exportHistory(address, namespace, execution);
      const payloads = [...text.matchAll(/"data":\s*"([A-Za-z0-9+/=]+)"/g)].map((match) => Buffer.from(match[1] ?? '', 'base64').toString());
      expect({ id: execution.workflowId, leaks: leaks([text, execution.workflowId, ...payloads].join('\n'), TEXTS) }).toEqual({ id: execution.workflowId, leaks: [] });
    }
  });

  test('the catalog has no password', async () => {
    const tables = await target.query("SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'tidemark'");
    expect(tables.length).toBeGreaterThan(3);
    for (const { name } of tables) {
      const text = (await target.value(`SELECT string_agg(t::text, ' ') FROM ${name} t`)) ?? '';
      expect({ name, leaks: leaks(text, TEXTS).filter((what) => what.endsWith('password')) }).toEqual({ name, leaks: [] });
    }
  });

  test('command lines of processes', () => {
    const lines = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        try {
          return [readFileSync(`/proc/${pid}/cmdline`, 'utf8')];
        } catch {
          return [];
        }
      });
    expect(leaks(lines.join('\n'), TEXTS)).toEqual([]);
  });

  test('every file that Tidemark and Temporal wrote, the Temporal database included', async () => {
    await up.stop(120_000);
    const files = everyFile(tidemark.folder);
    const temporalDatabase = files.filter((file) => /\.db(-wal)?$/.test(file));
    expect([...new Set(temporalDatabase.flatMap((file) => leaks(readFileSync(file), { stream: 'uniquely' })))]).toEqual(['stream']);
    expect(files.filter((file) => leaks(readFileSync(file), TEXTS).length > 0).map((file) => [file, leaks(readFileSync(file), TEXTS)])).toEqual([]);
  });
});
