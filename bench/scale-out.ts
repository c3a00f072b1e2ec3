/**
 * `npm run bench -- scale-out [--rows N] [--percent P]`: the same full load with 1, 2 and 4 worker processes that are limited to half a core each, or to P
 * hundredths of one: on a small machine four halves leave nothing for the databases.
 */
import { sharedTemporal } from '../test/support/temporal.ts';
import { Tidemark } from '../test/support/tidemark.ts';
import { CpuLimit } from './half-core.ts';
import { COLUMN_NAMES, KEY, sharedLineitem } from './lineitem.ts';
import { cpuSeconds } from './process-meter.ts';
import { dropDatabase, newDatabase, type Bench } from './servers.ts';
import { timed } from './shell.ts';
import type { PostgresDatabase } from '../test/support/postgres.ts';

export const SCALE_OUT_ROWS = 2_000_000;
const WORKERS = [1, 2, 4] as const;
/** Streams of one size, all of them on their way at once: four of a source, which is what a run of it takes. */
const SOURCES = 8;
const STREAMS = 4;
const TABLES = SOURCES * STREAMS;
/** Rows of each table while the workers warm up. */
const WARM_ROWS = 1_000;

export interface ScaleOutResult {
  readonly rows: number;
  readonly coresEach: number;
  readonly runs: readonly { readonly workers: number; readonly seconds: number; readonly faster: number; readonly workerCpuSeconds: readonly number[]; readonly sourceCpuSeconds: number; readonly destinationCpuSeconds: number; readonly temporalCpuSeconds: number }[];
}

/** The rows are cut into equal tables and masked in two columns, so that the workers, not the databases, have the most to do. */
export async function runScaleOut(bench: Bench, { rows, coresEach }: { readonly rows: number; readonly coresEach: number }, say: (text: string) => void): Promise<ScaleOutResult> {
  say(`scale-out: preparing ${rows.toLocaleString('en')} rows`);
  const source = await sharedLineitem(bench, rows);
  // Tables are vacuumed here, or the server does it by itself in the middle of the measurement.
  for (let table = 0; table < TABLES; table += 1) {
    await source.query(`CREATE TABLE all_${table} AS SELECT ${COLUMN_NAMES} FROM lineitem WHERE hashint8(l_orderkey) & 1023 >= ${(1024 * table) / TABLES} AND hashint8(l_orderkey) & 1023 < ${(1024 * (table + 1)) / TABLES}`);
    await source.query(`VACUUM ANALYZE all_${table}`);
    await source.query(`CREATE TABLE part_${table} (LIKE all_${table}, PRIMARY KEY (${KEY}))`);
  }
  const runs: ScaleOutResult['runs'][number][] = [];
  for (const workers of WORKERS) {
    const run = await fullLoad(bench, { source, workers, rows, coresEach });
    const faster = (runs[0]?.seconds ?? run.seconds) / run.seconds;
    say(`scale-out: ${workers} workers: ${run.seconds.toFixed(1)} s, ${faster.toFixed(2)} times as fast as one`);
    runs.push({ workers, faster, ...run });
  }
  for (let table = 0; table < TABLES; table += 1) await source.query(`DROP TABLE part_${table}, all_${table}`);
  return { rows, coresEach, runs };
}

interface Load {
  readonly source: PostgresDatabase;
  readonly workers: number;
  readonly rows: number;
  readonly coresEach: number;
}

/** Puts so many rows into each table; all of them without a number. */
async function fill(source: PostgresDatabase, rowsEach: number | null): Promise<void> {
  for (let table = 0; table < TABLES; table += 1) {
    await source.query(`TRUNCATE part_${table}; INSERT INTO part_${table} SELECT * FROM all_${table} LIMIT ${rowsEach ?? 'ALL'}`);
    await source.query(`VACUUM ANALYZE part_${table}`);
  }
}

async function fullLoad(bench: Bench, { source, workers, rows, coresEach }: Load) {
  const [from, to] = [await bench.source(), await bench.destination()];
  const into = await newDatabase(to, 'scaleout');
  const key = Buffer.alloc(32, 'tidemark bench').toString('base64');
  const tidemark = await Tidemark.start(scaleOutFile(source.connection), { NODE_ENV: 'production', TIDEMARK_LOG_LEVEL: 'warn', ...source.secrets, BENCH_MASK_KEY: key, DESTINATION_URL: into.url }, workers);
  await tidemark.apply();
  // What is measured is a running worker, not the start of one: that takes each of them half a second of CPU.
  await fill(source, WARM_ROWS);
  await tidemark.syncAll();
  await fill(source, null);
  const limits = tidemark.workers.map(({ pid }) => {
    const limit = CpuLimit.make(coresEach);
    limit.add(pid);
    return limit;
  });
  const temporal = await sharedTemporal();
  const spent = () => ({ temporal: cpuSeconds(temporal.pid), workers: tidemark.workers.map(({ pid }) => cpuSeconds(pid)), source: cpuSeconds(from.pid), destination: cpuSeconds(to.pid) });
  const before = spent();
  let read = 0;
  const seconds = await timed(async () => void (read = (await tidemark.syncAll()).reduce((sum, stream) => sum + stream.read, 0)));
  const after = spent();
  if (read !== rows) throw new Error(`${read} of ${rows} rows were read`);
  for (const worker of tidemark.workers) await worker.stop();
  for (const limit of limits) limit.remove();
  await dropDatabase(into);
  return {
    seconds,
    workerCpuSeconds: after.workers.map((each, index) => each - (before.workers[index] ?? 0)),
    sourceCpuSeconds: after.source - before.source,
    destinationCpuSeconds: after.destination - before.destination,
    temporalCpuSeconds: after.temporal - before.temporal,
  };
}

function scaleOutFile(connection: string): string {
  const stream = (table: number) => `      - { table: public.part_${table}, target: load.part_${table}, mode: replace, mask: { l_comment: { hmac: bench }, l_shipinstruct: { hmac: bench } } }\n`;
  const source = (index: number) =>
    `  - id: bench${index}\n    kind: postgres\n    connection: ${connection}\n    poll_interval: 1d\n    streams:\n${Array.from({ length: STREAMS }, (_, table) => stream(index * STREAMS + table)).join('')}`;
  return `destination:\n  url: "\${DESTINATION_URL}"\nkeys:\n  bench: { env: BENCH_MASK_KEY }\nsources:\n${Array.from({ length: SOURCES }, (_, index) => source(index)).join('')}`;
}

/** What a run used of the machine: near all of it, more workers can't make it faster. */
function coresUsed(run: ScaleOutResult['runs'][number]): number {
  const workers = run.workerCpuSeconds.reduce((sum, each) => sum + each, 0);
  return (workers + run.sourceCpuSeconds + run.destinationCpuSeconds + run.temporalCpuSeconds) / run.seconds;
}

export function scaleOutLines(result: ScaleOutResult): string {
  const seconds = (values: readonly number[]): string => values.map((value) => value.toFixed(1)).join(' + ');
  const lines = result.runs.map(
    (run) => `  ${run.workers} × ${result.coresEach} core: ${run.seconds.toFixed(1)} s, ${run.faster.toFixed(2)} ×; CPU: workers ${seconds(run.workerCpuSeconds)} s, source ${run.sourceCpuSeconds.toFixed(1)} s, destination ${run.destinationCpuSeconds.toFixed(1)} s, Temporal ${run.temporalCpuSeconds.toFixed(1)} s; together ${coresUsed(run).toFixed(2)} cores`,
  );
  return [`full load of ${result.rows.toLocaleString('en')} rows in ${TABLES} streams, 2 columns masked`, ...lines].join('\n');
}
