/** The comparison that every proof leans on must see what it is there to see. */
import { compareTables } from '../support/compare.ts';
import { BERKA, NYCFLIGHTS, loadIntoMariadb, loadIntoPostgres } from '../support/datasets.ts';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';

const planes = NYCFLIGHTS.filter(({ table }) => table === 'planes' || table === 'weather');
const account = BERKA.filter(({ table }) => table === 'account');

describeWith({ postgres: true, mariadb: true }, 'comparison of a source and its target', () => {
  let left: PostgresDatabase;
  let right: PostgresDatabase;
  let mariadb: MariadbDatabase;

  beforeAll(async () => {
    [left, right, mariadb] = [await createDatabase('left'), await createDatabase('right'), await createMariadb('left')];
    for (const database of [left, right]) await loadIntoPostgres(database, [...planes, ...account]);
    await loadIntoMariadb(mariadb, planes);
  });

  test('equal tables have no difference, in one product and across two', async () => {
    const same = await compareTables(left, 'account', right, 'public.account', ['account_id']);
    expect(same.differences).toEqual([]);
    expect(same.sourceRows).toBe(Number(await left.value('SELECT count(*) FROM account')));
    for (const { table, key } of planes) {
      const across = await compareTables(mariadb, table, right, table, [key]);
      expect(across.differences).toEqual([]);
      expect(across.targetRows).toBe(across.sourceRows);
    }
  });

  test('a missing, an extra and a different row are each named', async () => {
    const ids = (await right.query('SELECT account_id FROM account ORDER BY 1 LIMIT 3')).map((row) => row['account_id']);
    await right.query(`DELETE FROM account WHERE account_id = ${ids[0]}`);
    await right.query(`UPDATE account SET frequency = 'x' WHERE account_id = ${ids[1]}`);
    await right.query(`UPDATE account SET updated_at = updated_at + interval '1 microsecond' WHERE account_id = ${ids[2]}`);
    await right.query('INSERT INTO account (account_id) VALUES (99999999)');
    const { differences } = await compareTables(left, 'account', right, 'account', ['account_id']);
    expect(differences).toEqual([
      `missing in the target: ${ids[0]}`,
      expect.stringMatching(new RegExp(`^${ids[1]}: frequency is`)),
      expect.stringMatching(new RegExp(`^${ids[2]}: updated_at is`)),
      'only in the target: 99999999',
    ]);
  });

  test('a value that differs across products is named', async () => {
    await right.query("UPDATE planes SET model = NULL WHERE tailnum = (SELECT min(tailnum COLLATE \"C\") FROM planes WHERE model <> '')");
    const { differences } = await compareTables(mariadb, 'planes', right, 'planes', ['tailnum']);
    expect(differences).toHaveLength(1);
    expect(differences[0]).toContain('and NULL in the target');
  });
});
