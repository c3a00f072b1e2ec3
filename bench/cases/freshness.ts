import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchCase } from '../bench-case.ts';
import { ROWS_AT_SCALE_1 } from '../lineitem.ts';
import { LoadedPair } from '../loaded-pair.ts';
import { timed } from '../shell.ts';

const CHANGED = 100_000;
const LOOK_EVERY_MS = 20;
const VISIBLE_WITHIN_MS = 120_000;
/** Polls come at one instant of each second. Multiples of this, less their whole seconds, lie evenly in a second, however many they are. */
const GOLDEN_RATIO = 0.618;

/**
 * One statement changes a range of rows, which commits at `instant` of a second (0 to 1). A row of it tells by its key when all are visible, since they commit
 * together.
 */
async function change(pair: LoadedPair, range: number, instant: number): Promise<{ since: string; visible: () => Promise<void> }> {
  const since = await pair.now();
  // Statements that are sent together are one transaction.
  const changed = await pair.source.query(
    `UPDATE lineitem SET l_quantity = l_quantity + 1, updated_at = clock_timestamp()
       WHERE (l_orderkey, l_linenumber) IN (SELECT l_orderkey, l_linenumber FROM lineitem ORDER BY l_orderkey, l_linenumber OFFSET ${range * CHANGED} LIMIT ${CHANGED});
     SELECT l_orderkey, l_linenumber, pg_sleep(mod(1 + ${instant} - mod(extract(epoch FROM clock_timestamp()), 1), 1)::float8)
       FROM (SELECT l_orderkey, l_linenumber FROM lineitem WHERE updated_at >= '${since}' ORDER BY updated_at DESC LIMIT 1) AS last`,
  );
  const row = changed[0];
  if (row === undefined) throw new Error(`the table has fewer than ${range * CHANGED + 1} rows`);
  const look = `SELECT updated_at >= $1 AS arrived FROM lineitem WHERE l_orderkey = $2 AND l_linenumber = $3`;
  const visible = async (): Promise<void> => {
    for (const deadline = Date.now() + VISIBLE_WITHIN_MS; (await pair.target.value(look, [since, row['l_orderkey'], row['l_linenumber']])) !== 't'; await sleep(LOOK_EVERY_MS)) {
      if (Date.now() > deadline) throw new Error(`a change was not visible after ${VISIBLE_WITHIN_MS / 1000} s`);
    }
  };
  return { since, visible };
}

export const freshness: BenchCase = {
  name: 'freshness',
  title: `${CHANGED.toLocaleString('en')} rows changed in one statement, polled every second: commit to visible`,
  limit: 'the bare upsert of these rows, without any wait for a poll',
  bound: { kind: 'added', seconds: 1 },
  rows: ROWS_AT_SCALE_1,
  async prepare(bench, rows) {
    const pair = await LoadedPair.make(bench, rows, { mode: 'upsert', pollInterval: '1s' });
    const ranges = Math.max(1, Math.floor(rows / CHANGED));
    let changes = 0;
    let round = 0;
    const next = (instant: number): ReturnType<typeof change> => change(pair, changes++ % ranges, instant);
    return {
      async limit() {
        const { since, visible } = await next(0);
        await visible();
        return pair.bareUpsert(since);
      },
      async tidemark() {
        let seconds = 0;
        const cost = await pair.tidemark.costOf(async () => {
          const { visible } = await next((round++ * GOLDEN_RATIO) % 1);
          seconds = await timed(visible);
        });
        return { ...cost, seconds, runSeconds: null, rows: CHANGED, bytes: 0 };
      },
      verify: () => pair.verify(pair.target),
      close: () => pair.close(),
    };
  },
};
