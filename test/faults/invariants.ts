/** What must hold at the destination when all is healed and quiet, asked by SQL of the test's own; each answer in words, none where it holds. */
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';

const QUIET_MS = 60_000;

/** I2, I3, I5, I6, I10: the ledger's rows of one stream. `written`: what they must add up to; null where retries may have written less at once. */
export async function ledgerFaults(target: PostgresDatabase, source: string, stream: string, written: number | null): Promise<string[]> {
  const of = `source = '${source}' AND stream = '${stream}'`;
  const found: string[] = [];
  const unbalanced = await target.value(`SELECT count(*) FROM tidemark.ledger WHERE ${of} AND read <> written + unchanged + rejected + superseded + deleted`);
  if (unbalanced !== '0') found.push(`the equation does not hold in ${unbalanced} batches`);
  const sum = Number(await target.value(`SELECT coalesce(sum(written), 0) FROM tidemark.ledger WHERE ${of}`));
  if (written !== null && sum !== written) found.push(`the ledger has ${sum} rows written, there were ${written} to write`);
  const batches = await target.value(`SELECT count(*) - count(DISTINCT batch) FROM tidemark.ledger WHERE ${of}`);
  if (batches !== '0') found.push(`${batches} batches stand in the ledger twice`);
  const steps = await target.value(`SELECT count(*) FROM (SELECT FROM tidemark.batch WHERE ${of} GROUP BY run_id, step HAVING count(*) > 1) t`);
  if (steps !== '0') found.push(`${steps} steps have two batches`);
  return [...found, ...(await chainFaults(target, of)), ...(await runFaults(target, source))];
}

/** I5: each range begins where the one before it ended, or reaches back; none leaves a gap. */
async function chainFaults(target: PostgresDatabase, of: string): Promise<string[]> {
  const ranges = `SELECT batch, "from", "to", lag("to") OVER (ORDER BY committed_at, batch) AS before, generation = lag(generation) OVER (ORDER BY committed_at, batch) AS same FROM tidemark.ledger WHERE ${of} AND kind = 'range'`;
  const gaps = await target.query(`SELECT batch FROM (${ranges}) r WHERE same AND before IS NOT NULL AND ("from" IS NULL OR "from" > before)`);
  return gaps.map(({ batch }) => `batch ${batch} does not begin where the one before it ended`);
}

/** I10: a run adds up to its batches. */
async function runFaults(target: PostgresDatabase, source: string): Promise<string[]> {
  const wrong = await target.query(`SELECT r.run_id, r.written, l.written AS counted FROM tidemark.run_stream r
    JOIN (SELECT run_id, stream, sum(written) AS written FROM tidemark.ledger WHERE source = '${source}' GROUP BY run_id, stream) l USING (run_id, stream)
    WHERE r.source = '${source}' AND r.status = 'completed' AND r.written <> l.written`);
  return wrong.map(({ run_id, written, counted }) => `run ${run_id} says ${written} rows written, its batches ${counted}`);
}

/** A schedule's window of polls runs on, and gives way when it is asked. */
const RUNS = "SELECT count(*) FROM tidemark.run WHERE status IN ('running', 'waiting') AND trigger <> 'window'";
const OPEN_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'tidemark%' AND xact_start IS NOT NULL";
const WAITING_LOCKS = 'SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())';
const BUILDING = "SELECT count(*) FROM tidemark.generation WHERE state = 'building'";
const BATCHES = "SELECT count(*) FROM tidemark.batch b WHERE NOT EXISTS (SELECT FROM tidemark.run r WHERE r.run_id = b.run_id AND r.ended_at IS NULL)";
/** One stage for each stream stays, empty of any other's rows; those of parts and slices go. */
const STAGES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'tidemark_stage' AND tablename ~ '^s_[0-9a-f]{20}_'";

/** I9: runs, sessions, locks, generations, batches and stages that nobody will end. A session that dies is given a moment. */
export async function leftBehind(target: PostgresDatabase): Promise<string[]> {
  const asked = { 'runs that never end': RUNS, 'open transactions': OPEN_SESSIONS, 'locks that are waited for': WAITING_LOCKS, 'unfinished generations': BUILDING, 'batches of ended runs': BATCHES, 'stages of parts': STAGES };
  let left: string[] = [];
  await waitFor('everything to be put away', async () => {
    left = [];
    for (const [what, sql] of Object.entries(asked)) {
      const count = await target.value(sql);
      if (count !== '0') left.push(`left behind: ${count} ${what}`);
    }
    return left.length === 0 ? true : null;
  }, QUIET_MS).catch(() => undefined);
  return left;
}
