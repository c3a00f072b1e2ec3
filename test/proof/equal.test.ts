/** Real tables arrive row by row as they are; a second sync reads at most the overlap and writes nothing. */
import { BERKA, NYCFLIGHTS, loadIntoMariadb, loadIntoPostgres } from '../support/datasets.ts';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb, quietMariadb } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import type { StreamResult } from '../support/tidemark.ts';
import { allDifferences, ledgerSums, proofConfiguration } from './proof.ts';
import type { ProofSource } from './proof.ts';

describeWith({ postgres: true, mariadb: true, temporal: true }, 'real tables', () => {
  let sources: readonly ProofSource[];
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  let first: readonly StreamResult[];
  let second: readonly StreamResult[];

  beforeAll(async () => {
    const [flights, bank, mariadb] = [await createDatabase('flights'), await createDatabase('bank'), await createMariadb('flights', await quietMariadb())];
    target = await createDatabase('target');
    await loadIntoPostgres(flights, NYCFLIGHTS);
    await loadIntoPostgres(bank, BERKA);
    await loadIntoMariadb(mariadb, NYCFLIGHTS);
    sources = [
      { id: 'air', kind: 'postgres', database: flights, datasets: NYCFLIGHTS },
      { id: 'bank', kind: 'postgres', database: bank, datasets: BERKA },
      { id: 'sea', kind: 'mariadb', database: mariadb, datasets: NYCFLIGHTS },
    ];
    tidemark = await Tidemark.start(proofConfiguration(sources), { ...flights.secrets, ...mariadb.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    first = await tidemark.syncAll();
  });

  test('every table equals its source after the first sync', async () => {
    expect(first.map(({ status }) => status)).toEqual(first.map(() => 'completed'));
    expect(await allDifferences(sources, target)).toEqual([]);
  });

  test('the ledger has every row once', async () => {
    for (const { id, database, datasets } of sources) {
      for (const { table } of datasets) {
        const quote = id === 'sea' ? '`' : '"';
        const rows = Number(await database.value(`SELECT count(*) FROM ${quote}${table}${quote}`));
        const sums = await ledgerSums(target, id, table);
        expect({ table, written: sums.written }).toEqual({ table, written: rows });
        expect(sums.read).toBe(sums.written + sums.unchanged + sums.rejected + sums.superseded + sums.deleted);
      }
    }
  });

  test('a second sync reads at most the overlap and writes nothing', async () => {
    second = await tidemark.syncAll();
    for (const { id, database, datasets } of sources) {
      for (const { table, cursor } of datasets) {
        const { read, written, status } = streamOf(second.filter(({ source }) => source === id), table);
        expect({ id, table, written, status }).toEqual({ id, table, written: 0, status: 'completed' });
        if (!cursor) continue;
        const quote = id === 'sea' ? '`' : '"';
        const name = `${quote}${table}${quote}`;
        const overlap = Number(await database.value(`SELECT count(*) FROM ${name} WHERE updated_at >= (SELECT max(updated_at) - INTERVAL '60' SECOND FROM ${name})`));
        expect(read).toBeLessThanOrEqual(overlap);
      }
    }
    expect(await allDifferences(sources, target)).toEqual([]);
  });
});
