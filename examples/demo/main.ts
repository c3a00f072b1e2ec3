/**
 * `npm start`: a demo bank, synced while somebody works at it.
 *
 * `--once` lets the writer work for some seconds, stops it, syncs, and compares every table row by row: exit code 0 only if all are equal.
 * `--data-dir DIR`, `--temporal-port PORT` and `--ui-port PORT` as for `tidemark up`. Exit code 3 where something needed is missing.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { dataDirectory, forgetVariable, processEnv } from '../../runtime/environment.ts';
import { describeError, logger } from '../../runtime/logging.ts';
import { startUp, type Up } from '../../runtime/up.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { StreamResult } from '../../schemas/run.ts';
import { DATABASE, prepareBank, TABLES } from './bank.ts';
import { tidemark, type CommandContext } from './command.ts';
import { compareTables } from './comparison.ts';
import { LiveView, loadedRows, ProgressLine, readView } from './live-view.ts';
import { startWriter, type Writer } from './writer.ts';

const CONFIG = join(import.meta.dirname, 'tidemark.yaml');
const SEEDED_ROWS = 275_024;
const WRITER_WORKS_MS = 10_000;
const VIEW_INTERVAL_MS = 3_000;
const PROGRESS_INTERVAL_MS = 500;

interface DemoOptions {
  readonly once: boolean;
  readonly dataDir: string;
  readonly temporalPort: number;
  readonly uiPort: number;
}

interface Demo {
  readonly up: Up;
  readonly commands: CommandContext;
  /** On the destination, for what is shown. */
  readonly view: pg.Client;
  readonly sourceUrl: string;
  readonly targetUrl: string;
  readonly dataDir: string;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

function readOptions(): DemoOptions {
  try {
    const { values } = parseArgs({
      options: { once: { type: 'boolean', default: false }, 'data-dir': { type: 'string' }, 'temporal-port': { type: 'string', default: '7233' }, 'ui-port': { type: 'string' } },
    });
    const temporalPort = Number(values['temporal-port']);
    const uiPort = values['ui-port'] === undefined ? temporalPort + 1_000 : Number(values['ui-port']);
    if (![temporalPort, uiPort].every((port) => Number.isInteger(port) && port > 0 && port < 65_536)) throw new RangeError('port');
    return { once: values.once, dataDir: dataDirectory(values['data-dir']), temporalPort, uiPort };
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause;
    throw new TidemarkError('usage.invalid', 'These options are not understood.', { hint: 'npm start -- [--once] [--data-dir DIR] [--temporal-port PORT] [--ui-port PORT]', cause });
  }
}

async function startDemo(options: DemoOptions, signal: AbortSignal): Promise<Demo> {
  const reader: Record<string, string> = {};
  let urls: { source: string; target: string } | null = null;
  const up = await startUp({
    ...options,
    configFile: CONFIG,
    alwaysPostgres: true,
    signal,
    onStep: say,
    async beforeWorker(postgres) {
      if (postgres === null) throw new TidemarkError('up.server_failed', 'The demo has no database.');
      const password = await prepareBank((database) => postgres.urlOf(database), () => say('Making the demo bank: 20,000 customers, 30,000 accounts, 200,000 transactions (about 10 seconds, once)'));
      urls = { source: postgres.urlOf(DATABASE), target: postgres.url };
      Object.assign(reader, { DEMO_PORT: new URL(postgres.url).port, DEMO_PASSWORD: password });
      return { ...reader, TIDEMARK_LOG_LEVEL: processEnv().TIDEMARK_LOG_LEVEL || 'error' };
    },
  });
  if (urls === null) throw new TidemarkError('up.server_failed', 'The demo has no database.');
  const { source, target }: { source: string; target: string } = urls;
  const env = { ...processEnv(), ...reader, DESTINATION_URL: target, TEMPORAL_ADDRESS: up.temporal, TEMPORAL_NAMESPACE: up.namespace, TIDEMARK_CONFIG: CONFIG, TIDEMARK_DATA_DIR: options.dataDir };
  const view = new pg.Client({ connectionString: target, application_name: 'demo view' });
  view.on('error', () => undefined);
  await view.connect();
  return { up, view, sourceUrl: source, targetUrl: target, dataDir: options.dataDir, commands: { env, signal } };
}

/** What each stream that did not complete says. */
function reasons(result: Readonly<Record<string, unknown>>): string[] {
  const streams = Array.isArray(result.streams) ? (result.streams as readonly StreamResult[]) : [];
  return streams.filter((stream) => stream.status !== 'completed').map((stream) => `${stream.stream}: ${stream.error?.message ?? stream.status}`);
}

/** Syncs all streams and shows how far it is. Throws `run.failed` where a stream did not complete. */
async function syncAll(demo: Demo, label: string, expectedRows: number | null): Promise<void> {
  const before = await loadedRows(demo.view);
  const progress = new ProgressLine(label, expectedRows);
  const running = new AbortController();
  const showing = (async () => {
    while (!running.signal.aborted) {
      progress.show((await loadedRows(demo.view)) - before);
      await sleep(PROGRESS_INTERVAL_MS, undefined, { signal: running.signal }).catch(() => undefined);
    }
  })();
  try {
    const result = await tidemark(['sync', '--all'], demo.commands);
    if (result.ok !== true) throw new TidemarkError('run.failed', `The sync did not complete every stream: ${reasons(result).join(' ')}`, { hint: `To begin anew remove ${demo.dataDir}.` });
  } finally {
    running.abort();
    await showing;
    progress.end((await loadedRows(demo.view)) - before);
  }
}

/** True if every table equals its source. */
async function compareAll(demo: Demo): Promise<boolean> {
  const results = await compareTables(demo.sourceUrl, demo.targetUrl, TABLES);
  for (const { table, sourceRows, targetRows, differing } of results) {
    say(`${differing === 0 ? 'equal  ' : 'DIFFERS'} ${table}: ${sourceRows} rows in the source, ${targetRows} in the target${differing === 0 ? '' : `, ${differing} differ`}`);
  }
  return results.every(({ differing }) => differing === 0);
}

async function runOnce(demo: Demo, writer: Writer, signal: AbortSignal): Promise<number> {
  say(`Somebody works at the bank for ${WRITER_WORKS_MS / 1_000} seconds`);
  await sleep(WRITER_WORKS_MS, undefined, { signal });
  await writer.stop();
  say(`${writer.committed()} transactions were committed; syncing what they changed`);
  await syncAll(demo, 'Sync', null);
  return (await compareAll(demo)) ? 0 : 1;
}

async function watch(demo: Demo, options: DemoOptions, signal: AbortSignal): Promise<number> {
  const footer = [
    `Temporal's UI: ${demo.up.ui ?? demo.up.temporal}   data: ${options.dataDir}`,
    'Press Ctrl-C to stop; `npm start` goes on from here.',
  ];
  footer.forEach(say);
  const live = new LiveView((processEnv().NO_COLOR ?? '') !== '');
  while (!signal.aborted) {
    const view = await readView(demo.view).catch(() => null);
    if (view !== null) live.draw(view, footer);
    await sleep(VIEW_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
  return 130;
}

async function run(signal: AbortSignal): Promise<number> {
  const options = readOptions();
  const demo = await startDemo(options, signal);
  let writer: Writer | null = null;
  try {
    await tidemark(['apply', '--yes'], demo.commands);
    const first = (await loadedRows(demo.view)) === 0;
    await syncAll(demo, first ? 'First sync' : 'Sync', first ? SEEDED_ROWS : null);
    writer = startWriter(demo.sourceUrl);
    return options.once ? await runOnce(demo, writer, signal) : await watch(demo, options, signal);
  } finally {
    say('Stopping');
    await writer?.stop();
    await demo.view.end().catch(() => undefined);
    await demo.up.stop();
  }
}

async function main(): Promise<number> {
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
  forgetVariable('DESTINATION_URL'); // The demo always goes to the database that it brings.
  try {
    return await run(stopping.signal);
  } catch (error) {
    if (stopping.signal.aborted) return 130;
    if (error instanceof TidemarkError) {
      process.stderr.write(`${error.message}\n${error.hint === null ? '' : `${error.hint}\n`}`);
      return error.exit;
    }
    logger().fatal({ error: describeError(error) }, 'the demo ended by an error');
    return 1;
  }
}

void main().then((code) => process.exit(code));
