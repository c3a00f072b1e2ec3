import { passedOver } from '../../connectors/postgres/range.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';

const order = { name: 'at', sql: 'at', cast: 'timestamp', base: 'timestamp', formatted: 'timestamp without time zone', infinite: true, indexed: true };

describeWith({ postgres: true }, 'rows that past runs passed over', () => {
  let database: PostgresDatabase;

  beforeAll(async () => {
    database = await createDatabase('passed');
    await database.query("CREATE TABLE item (at timestamp); INSERT INTO item VALUES ('2026-01-01'), ('2026-01-03')");
  });

  /** Ids of transactions long past: every row was written since. */
  test.each([
    ['runs that found the table empty', [{ since: '3', low: null }, { since: '3', low: null }], '0'],
    ['a run with a bound', [{ since: '3', low: '2026-01-02' }], '1'],
    ['one of each', [{ since: '3', low: '2026-01-02' }, { since: '3', low: null }], '1'],
    ['no runs', [], '0'],
  ])('%s', async (_name, runs, count) => {
    expect(await database.value(`SELECT count(*) FROM item WHERE ${passedOver(order, 3n, runs)}`)).toBe(count);
  });
});
