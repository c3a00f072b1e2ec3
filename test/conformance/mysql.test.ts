import { manifest } from '../../connectors/mysql/manifest.ts';
import { createMariadb, quietMariadb } from '../support/mariadb.ts';
import { onFileEnd } from '../support/release.ts';
import { conformance } from './conformance.ts';

conformance({
  needs: { mariadb: true },
  manifest,
  prepare: async () => {
    const database = await createMariadb('conform', await quietMariadb());
    const { host, port, user, password } = database.server;
    const admin = await database.client();
    await admin.query('SET GLOBAL max_allowed_packet = 1073741824');
    admin.destroy();
    const columns = 'name varchar(60), amount decimal(20,4) NOT NULL, at datetime(6) NOT NULL';
    return {
      connection: { host, port, user, password, database: database.name },
      create: (table) => [`CREATE TABLE ${table} (id int PRIMARY KEY, ${columns})`, `CREATE INDEX by_at ON ${table} (at)`],
      createKeyless: (table) => [`CREATE TABLE ${table} (id int NOT NULL, ${columns})`],
      time: (text) => `'${text}'`,
      quote: (name) => `\`${name.replaceAll('`', '``')}\``,
      names: ['select', 'Mixed Case', 'größe', '日本', 'a"b`c', 'x-min', `${'l'.repeat(63)}1`, `${'l'.repeat(63)}2`],
      timeType: 'datetime(6)',
      large: (name) => [`CREATE TABLE ${name} (id int PRIMARY KEY, v longtext)`, `INSERT INTO ${name} VALUES (1, REPEAT('x', 33554432))`, `UPDATE ${name} SET v = CONCAT(v, v)`],
      stranger: async (table) => {
        const stranger = `s_${database.name}`.slice(0, 32);
        await database.query(`CREATE USER '${stranger}'@'%' IDENTIFIED BY 'stranger'; CREATE TABLE open_one (id int); GRANT SELECT ON \`${database.name}\`.open_one TO '${stranger}'@'%'`);
        onFileEnd(async () => void (await database.query(`DROP USER '${stranger}'@'%'`)));
        expect(table).toBe('closed');
        return { host, port, user: stranger, password: 'stranger', database: database.name };
      },
      run: async (sql) => void (await database.query(sql)),
    };
  },
});
