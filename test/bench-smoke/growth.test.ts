/** What must not grow with a table: memory of the worker, and the Temporal events and SQL statements of one batch. */
import { readFileSync } from 'node:fs';
import { contentOf, makeLineitem } from '../../bench/lineitem.ts';
import { Bench } from '../../bench/servers.ts';
import { sourceFile } from '../../bench/source-file.ts';
import { TidemarkUnderTest } from '../../bench/tidemark-under-test.ts';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres } from '../support/postgres.ts';

const SMALL = 100_000;
const LARGE = 10 * SMALL;
/** Of both loads, with the rows that are made for them. */
const LOADS_TIMEOUT_MS = 900_000;
/** Parts of the large table; the small one's have a tenth of their rows. */
const PARTS = 6;
/**
 * A worker's memory settles at a level that a small table does not reach. The large table's rows are 200 MiB more on the way than the
 * small one's: a copy that kept them would need all of that, so half of it tells the two apart.
 */
const GROWTH_MAX_MIB = 100;

interface Cost {
  readonly peakMib: number;
  readonly events: number;
  readonly statements: number;
  readonly batches: number;
}

describeWith({ postgres: true, temporal: true }, 'a table ten times larger', () => {
  const bench = new Bench();
  let destination: PrivatePostgres;

  const statementsLogged = (database: string): number => readFileSync(destination.server.log, 'utf8').split('\n').filter((line) => line.startsWith(`${database} tidemark worker `) && /LOG: {2}(statement|execute)/.test(line)).length;

  /** A first load in parts of a sixth of the table. */
  async function load(rows: number): Promise<Cost> {
    const source = await makeLineitem(bench, rows);
    const target = await destination.createDatabase('target');
    const stream = `{ table: public.lineitem, target: public.lineitem, cursor: updated_at, batch_rows: ${Math.ceil(rows / (PARTS - 0.5))} }`;
    const tidemark = await TidemarkUnderTest.start(sourceFile({ kind: 'postgres', connection: source.connection, stream }), { ...source.secrets, DESTINATION_URL: target.url });
    try {
      const before = statementsLogged(target.name);
      const measured = await tidemark.measure('sync', '--all');
      expect(measured.rows).toBe(rows);
      expect(await contentOf(target, 'lineitem')).toBe(await contentOf(source, 'lineitem'));
      const batches = Number(await target.value("SELECT count(*) FROM tidemark.ledger WHERE kind = 'part'"));
      return { peakMib: measured.workerPeakMib, events: measured.historyEvents, statements: statementsLogged(target.name) - before, batches };
    } finally {
      await tidemark.stop();
      await source.close();
    }
  }

  let small: Cost;
  let large: Cost;

  beforeAll(async () => {
    destination = await PrivatePostgres.start({ log_statement: 'all', log_line_prefix: '%d %a ' });
    [small, large] = [await load(SMALL), await load(LARGE)];
  }, LOADS_TIMEOUT_MS);

  test('is copied in as many batches', () => {
    expect([small.batches, large.batches]).toEqual([PARTS, PARTS]);
  });

  test('is not kept in the worker’s memory', () => {
    expect(large.peakMib).toBeLessThan(small.peakMib + GROWTH_MAX_MIB);
  });

  test('takes no more Temporal events', () => {
    // Two parts that end at the same instant share a workflow task, which is three events.
    expect(large.events).toBeLessThanOrEqual(small.events + 3 * PARTS);
  });

  test('takes no more SQL statements', () => {
    expect(large.statements).toBeLessThanOrEqual(1.2 * small.statements);
  });
});
