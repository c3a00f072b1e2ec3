/**
 * 1 % of the rows changed, 1 % inserted, and two of the workers killed with SIGKILL at random moments while that is synced:
 * equal again, and the ledger has each of those rows exactly once. TIDEMARK_TEST_SEED repeats a run.
 */
import { NYCFLIGHTS, loadIntoPostgres } from '../support/datasets.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { runSeed, seededRandom } from '../support/random.ts';
import { Tidemark } from '../support/tidemark.ts';
import { allDifferences, ledgerSums, proofConfiguration } from './proof.ts';
import type { LedgerSums, ProofSource } from './proof.ts';

/** Both are killed, each replaced by a new one at once. */
const WORKERS = 2;
/** A kill falls within this long after the first batch of the sync, or after the kill before it. */
const KILL_WITHIN_MS = 800;
const FIRST_BATCH_MS = 180_000;
/** Small batches make a sync long enough to be hit in every phase. */
const BATCH_ROWS = 300;

const TABLES = NYCFLIGHTS.filter(({ table }) => table === 'flights' || table === 'weather');

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Changes every hundredth row and inserts as many copies; returns how many rows that touches. */
async function change(database: PostgresDatabase, table: string, column: string): Promise<number> {
  const others = "(SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = $1 AND column_name NOT IN ('id', 'updated_at'))";
  const list = await database.value(`SELECT ${others}`, [table]);
  await database.query(`UPDATE "${table}" SET "${column}" = coalesce("${column}", 0) + 1, updated_at = clock_timestamp() WHERE id % 100 = 7`);
  await database.query(`INSERT INTO "${table}" (${list}, updated_at) SELECT ${list}, clock_timestamp() FROM "${table}" WHERE id % 100 = 13`);
  return Number(await database.value(`SELECT count(*) FROM "${table}" WHERE updated_at > '2025-01-01'`));
}

describeWith({ postgres: true, temporal: true }, 'workers killed in the middle', () => {
  const seed = runSeed();

  test(`changes arrive exactly once, seed ${seed}`, async () => {
    console.info(`killed-workers: TIDEMARK_TEST_SEED=${seed}`);
    const random = seededRandom(seed);
    const [flights, target] = [await createDatabase('flights'), await createDatabase('target')];
    await loadIntoPostgres(flights, TABLES);
    const sources: ProofSource[] = [{ id: 'air', kind: 'postgres', database: flights, datasets: TABLES }];
    const configuration = proofConfiguration(sources, `  batch_rows: ${BATCH_ROWS * 100}\n`);
    const tidemark = await Tidemark.start(configuration, { ...flights.secrets, DESTINATION_URL: target.url }, WORKERS);
    await tidemark.apply();
    await tidemark.syncAll();

    tidemark.configure(proofConfiguration(sources, `  batch_rows: ${BATCH_ROWS}\n`));
    await tidemark.apply();
    const before = new Map<string, LedgerSums>();
    for (const { table } of TABLES) before.set(table, await ledgerSums(target, 'air', table));
    const touched = new Map([
      ['flights', await change(flights, 'flights', 'distance')],
      ['weather', await change(flights, 'weather', 'wind_dir')],
    ]);

    // The last row waits for this one, so that the sync can't end before the kills, however fast the machine is.
    const last = await target.client();
    await last.query(`BEGIN; INSERT INTO air.flights (id, updated_at) VALUES (${await flights.value('SELECT max(id) FROM flights')}, now())`);
    const running = tidemark.begin('sync', 'air', '--json');
    const ended = { value: false };
    void running.result.finally(() => (ended.value = true));
    const batches = () => target.value('SELECT count(*) FROM tidemark.ledger');
    const atStart = await batches();
    await waitFor('the first batch', async () => (ended.value || (await batches()) !== atStart ? true : null), FIRST_BATCH_MS);
    const killed: number[] = [];
    for (const victim of tidemark.workers.slice(0, WORKERS)) {
      const wait = Math.floor(random() * KILL_WITHIN_MS);
      await sleep(wait);
      await victim.kill();
      killed.push(wait);
      tidemark.startWorker();
    }
    // Kills after the end would prove nothing.
    expect(ended.value).toBe(false);
    await last.query('ROLLBACK');
    const { code, json, stdout, stderr } = await running.result;
    if (code !== 0) throw new Error(`seed ${seed}, kills after ${killed.join(', ')} ms: sync ended with ${code}\n${stdout}\n${stderr.slice(-3000)}`);
    expect(json?.streams?.map(({ status }) => status)).toEqual(TABLES.map(() => 'completed'));
    expect(await allDifferences(sources, target)).toEqual([]);

    for (const { table } of TABLES) {
      const [earlier, now] = [before.get(table), await ledgerSums(target, 'air', table)];
      expect(now.read).toBe(now.written + now.unchanged + now.rejected + now.superseded + now.deleted);
      expect({ table, written: now.written - (earlier?.written ?? 0) }).toEqual({ table, written: touched.get(table) });
    }
  });
});
