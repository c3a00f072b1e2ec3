import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import { PrivatePostgres, createDatabase } from '../support/postgres.ts';
import { temporal, temporalNamespace } from '../support/temporal.ts';

describeWith({ postgres: true }, 'PostgreSQL for tests', () => {
  test('a database of its own, values as text', async () => {
    const database = await createDatabase('a');
    await database.query('CREATE TABLE t (n numeric, at timestamptz)');
    await database.query("INSERT INTO t VALUES (9007199254740993.1, '2026-01-01 00:00:00.123456Z')");
    expect(await database.query('SELECT * FROM t')).toEqual([{ n: '9007199254740993.1', at: '2026-01-01 00:00:00.123456+00' }]);
  });

  test('a private server comes back after a kill, with its data', async () => {
    const server = await PrivatePostgres.start({ fsync: 'on' });
    const database = await server.createDatabase('b');
    await database.query('CREATE TABLE t AS SELECT 1 AS n');
    await database.query('CHECKPOINT');
    await server.kill();
    await server.restart();
    expect(await database.value('SELECT n FROM t')).toBe('1');
  });
});

describeWith({ mariadb: true }, 'MariaDB for tests', () => {
  test('a database of its own, values as text', async () => {
    const database = await createMariadb('a');
    await database.query("CREATE TABLE t (n decimal(30,2), at datetime(6)); INSERT INTO t VALUES (9007199254740993.1, '2026-01-01 00:00:00.123456')");
    expect(await database.query('SELECT * FROM t')).toEqual([{ n: '9007199254740993.10', at: '2026-01-01 00:00:00.123456' }]);
  });
});

describeWith({ temporal: true }, 'Temporal for tests', () => {
  test('a namespace of its own with the search attributes', async () => {
    const { address, namespace } = await temporalNamespace();
    expect(temporal(address, namespace, ['operator', 'search-attribute', 'list'])).toContain('TidemarkStream');
  });
});
