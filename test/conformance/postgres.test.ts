import { manifest } from '../../connectors/postgres/manifest.ts';
import { createDatabase } from '../support/postgres.ts';
import { conformance } from './conformance.ts';

conformance({
  needs: { postgres: true },
  manifest,
  prepare: async () => {
    const database = await createDatabase('conform');
    const { host, port, user, password } = database.server;
    const columns = 'name varchar(60), amount numeric(20,4) NOT NULL, at timestamp(6) NOT NULL';
    return {
      connection: { host, port, user, password, database: database.name },
      create: (table) => [`CREATE TABLE ${table} (id int PRIMARY KEY, ${columns})`, `CREATE INDEX ON ${table} (at)`],
      createKeyless: (table) => [`CREATE TABLE ${table} (id int NOT NULL, ${columns})`],
      time: (text) => `'${text}'`,
      run: async (sql) => void (await database.query(sql)),
    };
  },
});
