import { manifest } from '../../connectors/mysql/manifest.ts';
import { createMariadb } from '../support/mariadb.ts';
import { conformance } from './conformance.ts';

conformance({
  needs: { mariadb: true },
  manifest,
  prepare: async () => {
    const database = await createMariadb('conform');
    const { host, port, user, password } = database.server;
    const columns = 'name varchar(60), amount decimal(20,4) NOT NULL, at datetime(6) NOT NULL';
    return {
      connection: { host, port, user, password, database: database.name },
      create: (table) => [`CREATE TABLE ${table} (id int PRIMARY KEY, ${columns})`, `CREATE INDEX by_at ON ${table} (at)`],
      createKeyless: (table) => [`CREATE TABLE ${table} (id int NOT NULL, ${columns})`],
      time: (text) => `'${text}'`,
      run: async (sql) => void (await database.query(sql)),
    };
  },
});
