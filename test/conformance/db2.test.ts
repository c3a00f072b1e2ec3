import { manifest } from '../../connectors/db2/manifest.ts';
import { createDerby } from '../support/derby.ts';
import { conformance } from './conformance.ts';

conformance({
  needs: { db2: true },
  manifest,
  waivers: {
    'rows by key': 'this connector reads no rows by key: a repair reads the whole table instead',
    comparison: 'Db2 has no hash that PostgreSQL has too: rows are compared through the extract',
    privilege: 'Derby grants every user everything unless it is started with SQL authorization; test/connectors/db2-connection.test.ts pins the error codes of Db2',
    'large value': 'Derby does not put a CLOB of 64 MB together within a minute; test/connectors/db2-types.test.ts reads one of 100 KB piece by piece',
  },
  prepare: async () => {
    const database = await createDerby('conform');
    const columns = 'name varchar(60), amount decimal(20,4) NOT NULL, "AT" timestamp NOT NULL';
    return {
      connection: database.connection,
      create: (table) => [`CREATE TABLE ${table} (id int NOT NULL PRIMARY KEY, ${columns})`, `CREATE INDEX ${table}_by_at ON ${table} ("AT")`],
      createKeyless: (table) => [`CREATE TABLE ${table} (id int NOT NULL, ${columns})`],
      time: (text) => `TIMESTAMP('${text}')`,
      quote: (name) => `"${name.replaceAll('"', '""')}"`,
      names: ['SELECT', 'Mixed Case', 'größe', '日本', 'a"b', 'x-min', `${'l'.repeat(127)}1`, `${'l'.repeat(127)}2`],
      timeType: 'timestamp',
      large: () => {
        throw new Error('waived');
      },
      stranger: async () => {
        throw new Error('waived');
      },
      // The suite's column `at` is a reserved word here.
      run: async (sql) => void (await database.run(sql.replace('amount, at)', 'amount, "AT")'))),
    };
  },
});
