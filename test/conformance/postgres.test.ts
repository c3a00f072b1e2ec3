import { manifest } from '../../connectors/postgres/manifest.ts';
import { createDatabase } from '../support/postgres.ts';
import { onFileEnd } from '../support/release.ts';
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
      quote: (name) => `"${name.replaceAll('"', '""')}"`,
      names: ['select', 'Mixed Case', 'größe', '日本', 'a"b', 'x-min', `${'l'.repeat(62)}1`, `${'l'.repeat(62)}2`],
      timeType: 'timestamp(6)',
      large: (name) => [`CREATE TABLE ${name} (id int PRIMARY KEY, v text)`, `INSERT INTO ${name} VALUES (1, repeat('x', 67108864))`],
      stranger: async () => {
        const stranger = `s_${database.name}`;
        await database.query(`CREATE ROLE ${stranger} LOGIN PASSWORD 'stranger'`);
        onFileEnd(async () => void (await database.query(`DROP ROLE ${stranger}`)));
        return { host, port, user: stranger, password: 'stranger', database: database.name };
      },
      run: async (sql) => void (await database.query(sql)),
    };
  },
});
