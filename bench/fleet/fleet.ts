/**
 * `npm run bench -- fleet [--sources N] [--every SECONDS] [--minutes M] [--saturate]`: a fleet of sources that are polled, a tenth of which
 * change every second. Tells polls, freshness, CPU, memory and sessions. With `--saturate` bulk loads fill the machine meanwhile.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PostgresDatabase, startPostgres } from '../../test/support/postgres.ts';
import { scratchFolder } from '../../test/support/shared-server.ts';
import { sharedTemporal } from '../../test/support/temporal.ts';
import { Tidemark } from '../../test/support/tidemark.ts';
import { sharedLineitem } from '../lineitem.ts';
import { cpuSeconds, peakMib } from '../process-meter.ts';
import type { Bench} from '../servers.ts';
import { DURABLE } from '../servers.ts';
import { makeFleet, type FleetServers } from './fleet-sources.ts';
import { FleetWriter, percentile } from './fleet-writer.ts';
import { PollCounter } from './polls.ts';

export interface FleetOptions {
  readonly sources: number;
  readonly everySeconds: number;
  readonly minutes: number;
  readonly saturate: boolean;
}

export interface FleetResult extends FleetOptions {
  readonly seconds: number;
  readonly polls: number;
  readonly missedPolls: number;
  /** Sources that missed a poll: how many polls each has, by id and kind. */
  readonly behind: Readonly<Record<string, number>>;
  readonly rows: number;
  readonly lostRows: number;
  readonly freshness: { readonly p50: number; readonly p95: number; readonly max: number };
  /** CPU seconds for each second: worker with its readers, and Temporal. */
  readonly workerCores: number;
  readonly temporalCores: number;
  readonly workerPeakMib: number;
  /** Most sessions seen at one source at once, and the limit of each. */
  readonly sessionsMost: number;
  readonly sessionsMax: number;
  readonly bulkLoads: number;
}

const SESSIONS_MAX = 2;
const CHANGING_SHARE = 10;
const BULK_ROWS = 1_000_000;
/** The first seconds of the writers are left out: windows begin one after another. */
const SETTLE_SECONDS = 15;
const LOOK_AT_SESSIONS_MS = 1_000;
const SOURCES_NAMED_MAX = 5;
const READY_WITHIN_MS = 900_000;
/** As long as one call of `activities/poll-source.ts` begins polls. */
const CALL_SECONDS = 6;

export async function runFleet(bench: Bench, options: FleetOptions, say: (text: string) => void): Promise<FleetResult> {
  say(`fleet: preparing ${options.sources} sources`);
  const fleet = await makeFleet(bench, options.sources);
  const bulk = options.saturate ? await sharedLineitem(bench, BULK_ROWS) : null;
  const destination = new PostgresDatabase(await startPostgres(scratchFolder('fleet-destination'), { ...DURABLE, track_commit_timestamp: 'on' }), 'postgres');
  const secrets = { ...fleet.secrets, ...bulk?.secrets };
  const tidemark = await Tidemark.start(fleetFile(fleet, options, bulk?.connection ?? null), { NODE_ENV: 'production', TIDEMARK_LOG_LEVEL: 'warn', ...secrets, DESTINATION_URL: destination.url });
  say(`fleet: ${options.sources} sources are made; applying`);
  await tidemark.apply();
  say('fleet: applied; first syncs');
  await firstSyncs(destination, options.sources);
  say(`fleet: all ${options.sources} sources are loaded; measuring for ${options.minutes} minutes`);
  return measure(tidemark, fleet, destination, options);
}

function fleetFile(fleet: FleetServers, { sources, everySeconds }: FleetOptions, bulk: string | null): string {
  const changing = Math.ceil(sources / CHANGING_SHARE);
  const block = (id: string, kind: string, connection: string, priority: string, every: string, stream: string) =>
    `  - id: ${id}\n    kind: ${kind}\n    connection: ${connection}\n    priority: ${priority}\n    poll_interval: ${every}\n    sessions_max: ${SESSIONS_MAX}\n    streams:\n      - ${stream}\n`;
  const blocks = fleet.sources.map((source, index) => block(source.id, source.kind, source.connection, index < changing ? 'critical' : 'normal', `${everySeconds}s`, source.stream));
  if (bulk !== null) blocks.push(block('bulk', 'postgres', bulk, 'low', '1d', '{ table: public.lineitem, target: bulk.lineitem, cursor: updated_at }'));
  return `destination:\n  url: "\${DESTINATION_URL}"\nsources:\n${blocks.join('')}`;
}

async function firstSyncs(destination: PostgresDatabase, sources: number): Promise<void> {
  for (const deadline = Date.now() + READY_WITHIN_MS; ; await sleep(1_000)) {
    const loaded = Number(await destination.value("SELECT count(*) FROM tidemark.watermark WHERE source <> 'bulk'"));
    if (loaded >= sources) return;
    if (Date.now() > deadline) throw new Error(`only ${loaded} of ${sources} sources were loaded in ${READY_WITHIN_MS / 1_000} s`);
  }
}

async function measure(tidemark: Tidemark, fleet: FleetServers, destination: PostgresDatabase, options: FleetOptions): Promise<FleetResult> {
  const temporal = await sharedTemporal();
  const workerPid = tidemark.workers[0]?.pid ?? 0;
  const counter = await PollCounter.connect(destination, temporal.address, tidemark.env['TEMPORAL_NAMESPACE'] ?? 'default');
  const writer = new FleetWriter(fleet.sources.slice(0, Math.ceil(options.sources / CHANGING_SHARE)));
  const polledBefore = await counter.count();
  const began = performance.now();
  const before = { worker: cpuSeconds(workerPid), temporal: cpuSeconds(temporal.pid) };
  writer.start();
  const load = options.saturate ? new BulkLoads(tidemark) : null;
  let sessionsMost = 0;
  for (const end = began + options.minutes * 60_000; performance.now() < end; await sleep(LOOK_AT_SESSIONS_MS)) {
    sessionsMost = Math.max(sessionsMost, 0, ...(await fleet.sessions()).values());
  }
  const seconds = (performance.now() - began) / 1_000;
  const workerPeakMib = peakMib(workerPid);
  const spent = { worker: cpuSeconds(workerPid) - before.worker, temporal: cpuSeconds(temporal.pid) - before.temporal };
  const polledAfter = await counter.count();
  await writer.stop();
  await load?.stop();
  await sleep((options.everySeconds * 2 + 5) * 1_000);
  const fresh = await writer.freshness(destination, SETTLE_SECONDS);
  await counter.close();
  for (const worker of tidemark.workers) await worker.stop();
  const polled = fleet.sources.map(({ id, kind }) => {
    const [from, to] = [polledBefore.get(id) ?? { polls: 0, at: began }, polledAfter.get(id) ?? { polls: 0, at: began + seconds * 1_000 }];
    // Polls of a call that is under way are counted at its end.
    const due = Math.floor((to.at - from.at) / 1_000 / options.everySeconds) - 1 - Math.floor(CALL_SECONDS / options.everySeconds);
    return { id: `${id} ${kind}`, polls: to.polls - from.polls, missed: Math.max(0, due - (to.polls - from.polls)) };
  });
  const arrived = fresh.filter(Number.isFinite);
  return {
    ...options,
    seconds,
    polls: polled.reduce((sum, each) => sum + each.polls, 0),
    missedPolls: polled.reduce((sum, each) => sum + each.missed, 0),
    behind: Object.fromEntries(polled.filter(({ missed }) => missed > 0).map(({ id, polls }) => [id, polls])),
    rows: fresh.length,
    lostRows: fresh.length - arrived.length,
    freshness: { p50: percentile(arrived, 0.5), p95: percentile(arrived, 0.95), max: percentile(arrived, 1) },
    workerCores: spent.worker / seconds,
    temporalCores: spent.temporal / seconds,
    workerPeakMib,
    sessionsMost,
    sessionsMax: SESSIONS_MAX,
    bulkLoads: load?.done ?? 0,
  };
}

/** Full loads of one large table, one after another, until they are stopped. */
class BulkLoads {
  done = 0;
  #stopped = false;
  readonly #loop: Promise<void>;

  constructor(tidemark: Tidemark) {
    this.#loop = this.#run(tidemark);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#loop;
  }

  async #run(tidemark: Tidemark): Promise<void> {
    while (!this.#stopped) {
      await tidemark.must('sync', 'bulk', '--full', '--json');
      this.done += 1;
    }
  }
}

function behindText({ behind }: FleetResult): string {
  const sources = Object.entries(behind).sort(([, a], [, b]) => a - b);
  if (sources.length === 0) return '';
  const named = sources.slice(0, SOURCES_NAMED_MAX).map(([source, polls]) => `${source} has ${polls}`);
  return ` by ${sources.length} sources (${named.join(', ')}${sources.length > SOURCES_NAMED_MAX ? ', …' : ''})`;
}

export function fleetLines(result: FleetResult): string {
  const two = (value: number): string => value.toFixed(2);
  return [
    `fleet of ${result.sources} sources (PostgreSQL, MariaDB, Derby), polled every ${result.everySeconds} s, a tenth of them changing each second, ${result.seconds.toFixed(0)} s${result.saturate ? `, beside ${result.bulkLoads} full loads of ${BULK_ROWS.toLocaleString('en')} rows` : ''}`,
    `  polls ${result.polls}, missed ${result.missedPolls}${behindText(result)}; rows ${result.rows}, not arrived ${result.lostRows}`,
    `  source commit → visible: p50 ${two(result.freshness.p50)} s, p95 ${two(result.freshness.p95)} s, longest ${two(result.freshness.max)} s`,
    `  CPU: worker ${two(result.workerCores)} + Temporal ${two(result.temporalCores)} = ${two(result.workerCores + result.temporalCores)} cores; worker's peak ${result.workerPeakMib.toFixed(0)} MiB`,
    `  sessions at one source: at most ${result.sessionsMost} of ${result.sessionsMax}`,
  ].join('\n');
}
