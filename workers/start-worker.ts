import { destinationUrlByFile } from '../control/destination.ts';
import { dataDirectory, environment } from '../runtime/environment.ts';
import { locateTemporal } from '../runtime/temporal-client.ts';
import { referenceEnv } from '../runtime/up-state.ts';
import { runWorker } from './run-worker.ts';

export interface WorkerStart {
  readonly queues: readonly string[] | null;
  readonly graceMs: number;
  readonly configFile?: string;
  readonly dataDir?: string;
  /** Ends the worker. */
  readonly signal: AbortSignal;
}

/** Runs a worker until the signal; prints one line of JSON when it polls. */
export async function startWorker(start: WorkerStart): Promise<void> {
  const dataDir = start.dataDir ?? dataDirectory();
  const destinationUrl = await destinationUrlByFile(start.configFile ?? environment().TIDEMARK_CONFIG, referenceEnv(dataDir));
  await runWorker({
    temporal: locateTemporal(dataDir),
    destinationUrl,
    variables: () => referenceEnv(dataDir),
    queues: start.queues,
    graceMs: start.graceMs,
    onReady: () => process.stdout.write('{"event":"worker-ready"}\n'),
    signal: start.signal,
  });
}
