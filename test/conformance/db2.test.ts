import { manifest } from '../../connectors/db2/manifest.ts';
import { createDerby } from '../support/derby.ts';
import { conformance } from './conformance.ts';

conformance({
  needs: { db2: true },
  manifest,
  prepare: async () => {
    const database = await createDerby('conform');
    const columns = 'name varchar(60), amount decimal(20,4) NOT NULL, "AT" timestamp NOT NULL';
    return {
      connection: database.connection,
      create: (table) => [`CREATE TABLE ${table} (id int NOT NULL PRIMARY KEY, ${columns})`, `CREATE INDEX ${table}_by_at ON ${table} ("AT")`],
      createKeyless: (table) => [`CREATE TABLE ${table} (id int NOT NULL, ${columns})`],
      time: (text) => `TIMESTAMP('${text}')`,
      // The suite's column `at` is a reserved word here.
      run: async (sql) => void (await database.run(sql.replace('amount, at)', 'amount, "AT")'))),
    };
  },
});
