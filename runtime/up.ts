/**
 * `tidemark up`: Temporal, PostgreSQL and a worker on this machine, everything under one data directory.
 *
 * Data directory: `up.json` (what other commands read), `up.lock`, `temporal/`, `postgres/`, `logs/`.
 */
import { join } from 'node:path';
import { lockDataDirectory } from './data-directory-lock.ts';
import { needsEmbeddedDestination } from './destination-choice.ts';
import { environment } from './environment.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { portIsFree, requireFreePort } from './ports.ts';
import { startPostgres, type PostgresServer } from './postgres-server.ts';
import { endProcess, identify, type ProcessIdentity } from './process-identity.ts';
import { ensureSearchAttributes } from './search-attributes.ts';
import { throwIfInterrupted } from './server-process.ts';
import { StopList } from './stop-list.ts';
import { supervise, type Running } from './supervision.ts';
import { connectTemporal } from './temporal-client.ts';
import { startTemporal } from './temporal-server.ts';
import { readLastUpState, removeUpState, writeUpState, type UpState } from './up-state.ts';
import { startWorkerProcess, WORKER_ENTRY } from './worker-process.ts';

export interface UpOptions {
  /** Absolute. */
  readonly dataDir: string;
  readonly configFile: string;
  readonly temporalPort: number;
  readonly uiPort: number;
  /** Start the embedded PostgreSQL whatever the configuration says. */
  readonly alwaysPostgres?: boolean;
  /** Called once the servers are ready; resolves with variables for the worker beyond those of this process. */
  readonly beforeWorker?: (postgres: PostgresServer | null) => Promise<Readonly<Record<string, string>>>;
  readonly workerEntry?: string;
  /** Told before each step that takes time. */
  readonly onStep?: (step: string) => void;
  /** Gives up the start: everything begun is ended, then `up.interrupted` is thrown. */
  readonly signal?: AbortSignal;
}

export interface Up {
  readonly temporal: string;
  readonly ui: string | null;
  readonly namespace: string;
  /** URL that serves as DESTINATION_URL, null where one is configured. */
  readonly destinationUrl: string | null;
  /** URL of another database of the embedded server; null where there is none. */
  readonly postgresUrl: ((database: string) => string) | null;
  /** Ends all that was started, newest first, within 10 s. Safe to call twice. */
  stop(): Promise<void>;
}

type TemporalPart = Pick<Up, 'temporal' | 'ui' | 'namespace'>;

const LEFTOVER_WITHIN_MS = 3_000;

/** Keeps up.json in step with what runs, so that the next start can end what a killed one leaves. */
class StateFile {
  readonly #dataDir: string;
  #state: UpState;

  constructor(dataDir: string, up: ProcessIdentity, namespace: string) {
    this.#dataDir = dataDir;
    this.#state = { up, ready: false, temporal: '', ui: null, namespace, destinationUrl: null, children: {} };
    this.update({});
  }

  update(change: Partial<UpState>): void {
    this.#state = { ...this.#state, ...change };
    writeUpState(this.#dataDir, this.#state);
  }

  child(role: string): (identity: ProcessIdentity) => void {
    return (identity) => this.update({ children: { ...this.#state.children, [role]: identity } });
  }
}

async function endLeftovers(dataDir: string): Promise<void> {
  const children = Object.entries(readLastUpState(dataDir)?.children ?? {});
  await Promise.all(children.map(([role, identity]) => endProcess(identity, [role === 'postgres' ? 'SIGINT' : 'SIGTERM'], LEFTOVER_WITHIN_MS)));
}

/** `TEMPORAL_ADDRESS`; undefined where nothing listens there and it is the place of this `up` itself, as people set it for the other commands. */
async function addressOfUser({ temporalPort }: UpOptions): Promise<string | undefined> {
  const { TEMPORAL_ADDRESS: address } = environment();
  const isOwn = address === `127.0.0.1:${temporalPort}` || address === `localhost:${temporalPort}`;
  return isOwn && (await portIsFree(temporalPort)) ? undefined : address;
}

async function useTemporalOfUser(address: string, namespace: string): Promise<TemporalPart> {
  const temporal = await connectTemporal({ address, namespace, ui: null }).catch((error: unknown) => {
    if (!(error instanceof TidemarkError) || error.code !== 'temporal.unreachable') throw error;
    throw new TidemarkError(error.code, error.message, { hint: 'TEMPORAL_ADDRESS names the server that `up` uses: start that one, or unset TEMPORAL_ADDRESS and `up` starts one of its own.', cause: error });
  });
  try {
    await ensureSearchAttributes(temporal.connection, namespace);
  } finally {
    await temporal.close();
  }
  return { temporal: address, ui: null, namespace };
}

async function ownTemporal(options: UpOptions, namespace: string, state: StateFile, stops: StopList): Promise<TemporalPart> {
  const start = () =>
    startTemporal({
      databaseFile: join(options.dataDir, 'temporal', 'temporal.db'),
      logFile: join(options.dataDir, 'logs', 'temporal.log'),
      port: options.temporalPort,
      uiPort: options.uiPort,
      namespace,
      onSpawn: state.child('temporal'),
      signal: stops.signal,
    });
  const server = await start();
  const running = (temporal: typeof server): Running => ({ ended: temporal.process.ended, stop: () => temporal.stop() });
  stops.add('server', supervise('temporal', running(server), async () => running(await start())));
  return { temporal: server.address, ui: server.ui, namespace };
}

async function ownPostgres(options: UpOptions, state: StateFile, stops: StopList): Promise<PostgresServer> {
  const start = () =>
    startPostgres({
      folder: join(options.dataDir, 'postgres'),
      logFile: join(options.dataDir, 'logs', 'postgres.log'),
      onSpawn: state.child('postgres'),
      signal: stops.signal,
    });
  const server = await start();
  const running = (postgres: PostgresServer): Running => ({ ended: postgres.process.ended, stop: () => postgres.stop() });
  stops.add('server', supervise('postgres', running(server), async () => running(await start())));
  return server;
}

interface WorkerSurroundings {
  readonly temporal: TemporalPart;
  readonly destinationUrl: string | null;
  readonly env: Readonly<Record<string, string>>;
}

async function ownWorker(options: UpOptions, { temporal, destinationUrl, env }: WorkerSurroundings, state: StateFile, stops: StopList): Promise<void> {
  const start = () =>
    startWorkerProcess({
      entry: options.workerEntry ?? WORKER_ENTRY,
      env: {
        ...env,
        TEMPORAL_ADDRESS: temporal.temporal,
        TEMPORAL_NAMESPACE: temporal.namespace,
        TIDEMARK_DATA_DIR: options.dataDir,
        TIDEMARK_CONFIG: options.configFile,
        ...(destinationUrl === null ? {} : { DESTINATION_URL: destinationUrl }),
      },
      onSpawn: state.child('worker'),
      signal: stops.signal,
    });
  stops.add('worker', supervise('worker', await start(), start));
}

async function startParts(options: UpOptions, state: StateFile, stops: StopList): Promise<Omit<Up, 'stop'>> {
  const { TEMPORAL_NAMESPACE: namespace = 'default' } = environment();
  const address = await addressOfUser(options);
  const embedded = needsEmbeddedDestination(options.configFile);
  if (address === undefined) {
    await requireFreePort(options.temporalPort, '--temporal-port');
    await requireFreePort(options.uiPort, '--ui-port');
  }
  options.onStep?.('Starting Temporal and PostgreSQL (a few seconds)');
  const [temporalStart, postgresStart] = await Promise.allSettled([
    address === undefined ? ownTemporal(options, namespace, state, stops) : useTemporalOfUser(address, namespace),
    embedded || options.alwaysPostgres === true ? ownPostgres(options, state, stops) : Promise.resolve(null),
  ]);
  if (temporalStart.status === 'rejected') throw temporalStart.reason;
  if (postgresStart.status === 'rejected') throw postgresStart.reason;
  const temporal = temporalStart.value;
  const postgres = postgresStart.value;
  const destinationUrl = embedded && postgres !== null ? postgres.url : null;
  state.update({ ...temporal, destinationUrl });
  const env = (await options.beforeWorker?.(postgres)) ?? {};
  throwIfInterrupted(stops.signal);
  options.onStep?.('Starting a worker (a few seconds)');
  await ownWorker(options, { temporal, destinationUrl, env }, state, stops);
  state.update({ ready: true });
  return { ...temporal, destinationUrl, postgresUrl: postgres === null ? null : (database) => postgres.urlOf(database) };
}

/**
 * Starts everything and resolves when all of it is ready. On failure what was started is stopped again.
 * Throws `up.already_running`, `up.port_in_use`, `up.data_dir_unusable`, `up.server_failed`, `temporal.not_installed`, `temporal.unreachable`.
 */
export async function startUp(options: UpOptions): Promise<Up> {
  const self = identify(process.pid) ?? { pid: process.pid, began: '' };
  const launcher = process.connected ? identify(process.ppid) : null;
  const stops = new StopList();
  const interrupt = (): void => stops.interrupt();
  stops.add('files', await lockDataDirectory(options.dataDir, launcher));
  options.signal?.addEventListener('abort', interrupt, { once: true });
  try {
    throwIfInterrupted(options.signal);
    await endLeftovers(options.dataDir);
    const state = new StateFile(options.dataDir, self, environment().TEMPORAL_NAMESPACE ?? 'default');
    stops.add('files', () => removeUpState(options.dataDir));
    const parts = await startParts(options, state, stops);
    options.signal?.removeEventListener('abort', interrupt);
    throwIfInterrupted(options.signal);
    return { ...parts, stop: () => stops.run() };
  } catch (error) {
    await stops.run();
    throw error;
  }
}
