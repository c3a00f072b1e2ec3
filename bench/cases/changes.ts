import type { BenchCase } from '../bench-case.ts';
import { COLUMN_NAMES, ROWS_AT_SCALE_1 } from '../lineitem.ts';
import { LoadedPair } from '../loaded-pair.ts';
import { pipe } from '../shell.ts';

const APPENDED_SHARE = 6;
/** The case is of a million rows; a sixth of the table is a few more. */
const APPENDED_MAX = 1_000_000;
const SHARES = 10;
/** A sync that finds nothing is over too soon for the kernel's clock ticks: so many are measured together. */
const IDLE_SYNCS = 5;

export const upsert: BenchCase = {
  name: 'upsert',
  title: 'upsert of 10 % changed rows',
  limit: 'stage with COPY + `INSERT … ON CONFLICT … WHERE … IS DISTINCT FROM` in psql',
  bound: { kind: 'ratio', most: 1.15 },
  rows: ROWS_AT_SCALE_1,
  async prepare(bench, rows) {
    const pair = await LoadedPair.make(bench, rows, { mode: 'upsert' });
    let round = 0;
    return {
      async limit() {
        const since = await pair.now();
        await pair.source.query(`UPDATE lineitem SET l_quantity = l_quantity + 1, updated_at = clock_timestamp() WHERE l_orderkey % ${SHARES} = ${round++ % SHARES}`);
        await pair.source.query('VACUUM ANALYZE lineitem');
        await pair.settle();
        const seconds = await pair.bareUpsert(since);
        await pair.settle();
        return seconds;
      },
      tidemark: () => pair.tidemark.measure('sync', '--all'),
      verify: () => pair.verify(pair.bare, pair.target),
      close: () => pair.close(),
    };
  },
};

export const append: BenchCase = {
  name: 'append',
  title: 'append of new rows, a sixth of the table',
  limit: 'the same pipe',
  bound: { kind: 'ratio', most: 1.25 },
  rows: ROWS_AT_SCALE_1,
  async prepare(bench, rows) {
    const pair = await LoadedPair.make(bench, rows, { mode: 'append' });
    const columns = COLUMN_NAMES.replace('updated_at', 'clock_timestamp()');
    let round = 0;
    return {
      async limit() {
        const since = await pair.now();
        const offset = `(SELECT max(l_orderkey) FROM lineitem)`;
        await pair.source.query(`INSERT INTO lineitem (${COLUMN_NAMES}) SELECT ${columns.replace('l_orderkey', `l_orderkey + ${offset}`)} FROM lineitem WHERE l_orderkey % ${APPENDED_SHARE} = ${round++ % APPENDED_SHARE} AND updated_at < '2026-06-01Z' LIMIT ${Math.min(Math.ceil(rows / APPENDED_SHARE), APPENDED_MAX)}`);
        await pair.source.query('VACUUM ANALYZE lineitem');
        await pair.settle();
        const seconds = await pair.pipeRows(`WHERE updated_at >= '${since}'`, `COPY lineitem (${COLUMN_NAMES}) FROM STDIN (FORMAT binary)`);
        await pair.settle();
        return seconds;
      },
      tidemark: () => pair.tidemark.measure('sync', '--all'),
      verify: () => pair.verify(pair.bare, pair.target),
      close: () => pair.close(),
    };
  },
};

export const unchanged: BenchCase = {
  name: 'unchanged',
  title: 'a second sync with nothing changed, CPU of the worker',
  limit: 'one index probe',
  bound: { kind: 'worker-cpu', seconds: 0.1 },
  rows: ROWS_AT_SCALE_1,
  async prepare(bench, rows) {
    const pair = await LoadedPair.make(bench, rows, { mode: 'upsert' });
    await pair.tidemark.measure('sync', '--all');
    return {
      limit: () => pipe('psql -Xq "$FROM" -c "SELECT max(updated_at) FROM lineitem"', { FROM: pair.source.url }),
      async tidemark() {
        const cost = await pair.tidemark.costOf(async () => {
          for (let sync = 0; sync < IDLE_SYNCS; sync += 1) await pair.tidemark.tidemark.syncAll();
        });
        const each = (value: number): number => value / IDLE_SYNCS;
        return {
          seconds: each(cost.seconds),
          runSeconds: null,
          rows: 0,
          bytes: 0,
          workerCpuSeconds: each(cost.workerCpuSeconds),
          temporalCpuSeconds: each(cost.temporalCpuSeconds),
          workerPeakMib: cost.workerPeakMib,
          historyEvents: each(cost.historyEvents),
        };
      },
      verify: () => pair.verify(pair.target),
      close: () => pair.close(),
    };
  },
};

export const reconcile: BenchCase = {
  name: 'reconcile',
  title: 'reconcile of equal rows, PostgreSQL ↔ PostgreSQL',
  limit: 'one `SELECT count(*), sum(hashtext(t::text))` on each side at once',
  bound: { kind: 'ratio', most: 1.5 },
  rows: ROWS_AT_SCALE_1,
  async prepare(bench, rows) {
    const pair = await LoadedPair.make(bench, rows, { mode: 'upsert' });
    const sum = 'psql -Xq "$DATABASE" -c "SELECT count(*), sum(hashtext(t::text)) FROM lineitem t"';
    return {
      limit: () => pipe(`DATABASE="$FROM" ; ${sum} & DATABASE="$INTO" ; ${sum} ; wait $!`, { FROM: pair.source.url, INTO: pair.bare.url }),
      tidemark: () => pair.tidemark.measure('reconcile', 'bench'),
      verify: () => pair.verify(pair.target),
      close: () => pair.close(),
    };
  },
};
