/**
 * Opt-in: `ORACLE_URL=oracle://user:password@host:1521/service npm test -- oracle`, for example with docker-compose.test.yml.
 * The user needs CREATE SESSION, CREATE TABLE and quota; with SELECT_CATALOG_ROLE open transactions are seen too.
 */
import { manifest } from '../../connectors/oracle/manifest.ts';
import { onFileEnd } from '../support/release.ts';
import { conformance } from './conformance.ts';

/** What this suite needs of the driver beside the connector. */
interface PlainConnection {
  execute(sql: string, binds: readonly [], options: { readonly autoCommit: true }): Promise<unknown>;
  close(): Promise<void>;
}

interface PlainDriver {
  getConnection(attributes: { readonly user: string; readonly password: string; readonly connectString: string }): Promise<PlainConnection>;
}

const TABLE_MISSING = 942;
const TABLES = ['conform', 'grows', 'empty_one', 'keyless', 'pairs', 'numbers', 'nulls', 'wide', 'large', 'hollow', 'seen_through', 'many', '"Order llllllllllllllllllll é"'];

function connectionOf(url: URL): { host: string; port: number; service_name: string; user: string; password: string } {
  return { host: url.hostname, port: Number(url.port || '1521'), service_name: url.pathname.slice(1), user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
}

conformance({
  needs: { env: 'ORACLE_URL' },
  manifest,
  waivers: {
    privilege: 'a second user would need the privilege to create users; test/connectors/oracle-catalog.test.ts pins the error codes',
    'rows by key': 'this connector reads no rows by key: a repair reads the whole table instead',
    comparison: 'this connector hashes no rows: they are compared through the extract',
  },
  prepare: async () => {
    const connection = connectionOf(new URL(process.env['ORACLE_URL'] ?? ''));
    const { user, password, host, port, service_name: service } = connection;
    const driver = (await import('oracledb')).default as unknown as PlainDriver;
    const plain = await driver.getConnection({ user, password, connectString: `${host}:${port}/${service}` });
    onFileEnd(() => plain.close());
    const run = async (sql: string): Promise<void> => void (await plain.execute(sql, [], { autoCommit: true }));
    for (const table of TABLES) {
      await run(`DROP TABLE ${table} PURGE`).catch((error: { errorNum?: number }) => {
        if (error.errorNum !== TABLE_MISSING) throw error;
      });
    }
    const columns = 'name VARCHAR2(60 CHAR), amount NUMBER(20,4) NOT NULL, at TIMESTAMP(6) NOT NULL';
    return {
      connection,
      create: (table) => [`CREATE TABLE ${table} (id NUMBER(10) PRIMARY KEY, ${columns})`, `CREATE INDEX ${table}_by_at ON ${table} (at)`],
      createKeyless: (table) => [`CREATE TABLE ${table} (id NUMBER(10) NOT NULL, ${columns})`],
      time: (text) => `TIMESTAMP '${text}'`,
      quote: (name) => `"${name}"`,
      names: ['SELECT', 'Mixed Case', 'größe', '日本', "a'b", 'x-min', `${'l'.repeat(127)}1`, `${'l'.repeat(127)}2`],
      timeType: 'TIMESTAMP(6)',
      large: (name) => [
        `CREATE TABLE ${name} (id NUMBER(10) PRIMARY KEY, v CLOB)`,
        `INSERT INTO ${name} VALUES (1, RPAD('x', 4000, 'x'))`,
        `DECLARE c CLOB; piece VARCHAR2(32767) := RPAD('x', 16384, 'x'); BEGIN UPDATE ${name} SET v = EMPTY_CLOB() WHERE id = 1 RETURNING v INTO c; FOR i IN 1..4096 LOOP DBMS_LOB.WRITEAPPEND(c, 16384, piece); END LOOP; COMMIT; END;`,
      ],
      stranger: async () => {
        throw new Error('waived');
      },
      run,
    };
  },
});
