/**
 * Temporal for tests: one dev server for a run with a namespace for each test file (namespaces made later take seconds to be
 * known everywhere, so they are made with the server), or a private one that a test may kill.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { servers } from './describe-with.ts';
import { freePort, runTool, startProcess, waitFor } from './processes.ts';
import type { RunningProcess } from './processes.ts';
import { onFileEnd } from './release.ts';
import { runFolder } from './run-folder.js';
import { scratchFolder, sharedServer } from './shared-server.ts';

export interface TemporalServer {
  readonly address: string;
  readonly uiPort: number;
  readonly databaseFile: string;
  readonly log: string;
  readonly pid: number;
}

export interface TemporalNamespace extends TemporalServer {
  readonly namespace: string;
}

const NAMESPACES_MAX = 120;
const SEARCH_ATTRIBUTES = ['TidemarkSource', 'TidemarkStream', 'TidemarkStatus', 'TidemarkRun', 'TidemarkKind'];

/** Path of the `temporal` program. */
export function temporalProgram(): string {
  if (servers.temporal === null) throw new Error('no Temporal: guard the test with describeWith({ temporal: true }, …)');
  return servers.temporal;
}

/** Starts a dev server that keeps everything in a file in `folder`. `on`: where one ran that has ended; with a new `databaseFile` it knows nothing of it. `settings`: its dynamic configuration. */
export async function startTemporal(folder: string, namespaces: readonly string[] = [], on: Partial<TemporalServer> = {}, settings: Readonly<Record<string, string>> = {}): Promise<TemporalServer & { process: RunningProcess }> {
  const [port, uiPort] = [on.address === undefined ? await freePort() : Number(on.address.split(':')[1]), on.uiPort ?? (await freePort())];
  const databaseFile = on.databaseFile ?? join(folder, 'temporal.db');
  const log = join(folder, 'temporal.log');
  const args = ['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--ui-port', String(uiPort), '--db-filename', databaseFile, '--log-level', 'error'];
  args.push('--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=full');
  args.push(...namespaces.flatMap((name) => ['--namespace', name]));
  args.push(...SEARCH_ATTRIBUTES.flatMap((name) => ['--search-attribute', `${name}=Keyword`]));
  args.push(...Object.entries(settings).flatMap(([name, value]) => ['--dynamic-config-value', `${name}=${value}`]));
  const running = startProcess(temporalProgram(), { args, log, cwd: folder });
  const address = `127.0.0.1:${port}`;
  await waitFor('Temporal', () => (healthy(address) ? true : null), 60_000, log);
  return { address, uiPort, databaseFile, log, pid: running.pid, process: running };
}

function healthy(address: string): boolean {
  try {
    return temporal(address, 'default', ['operator', 'cluster', 'health']).includes('SERVING');
  } catch {
    return false;
  }
}

/** Runs the `temporal` program against a server; returns standard output. */
export function temporal(address: string, namespace: string, args: readonly string[]): string {
  return runTool(temporalProgram(), [...args, '--address', address, '--namespace', namespace]);
}

export async function sharedTemporal(): Promise<TemporalServer> {
  return sharedServer('temporal', async (folder) => {
    const names = Array.from({ length: NAMESPACES_MAX }, (_, index) => `test-${index + 1}`);
    const { process: _process, ...server } = await startTemporal(folder, names);
    return server;
  });
}

/** A namespace of the shared server that no other test file uses. */
export async function temporalNamespace(): Promise<TemporalNamespace> {
  const server = await sharedTemporal();
  for (let index = 1; index <= NAMESPACES_MAX; index += 1) {
    try {
      mkdirSync(join(runFolder(), `namespace-${index}`));
    } catch {
      continue;
    }
    return { ...server, namespace: `test-${index}` };
  }
  throw new Error('all namespaces of the shared Temporal are taken: raise NAMESPACES_MAX');
}

/** A server of this test's own; ends with the test file. */
export async function privateTemporal(settings: Readonly<Record<string, string>> = {}): Promise<TemporalServer & { process: RunningProcess }> {
  const server = await startTemporal(scratchFolder('temporal'), [], {}, settings);
  onFileEnd(async () => void (await server.process.stop()));
  return server;
}

interface ListedWorkflow {
  readonly execution: { readonly workflowId: string; readonly runId: string };
  readonly type: { readonly name: string };
  readonly status: string;
  readonly parentExecution?: unknown;
}

export interface HistoryEvent {
  readonly eventType: string;
  /** ISO 8601 UTC, to a billionth of a second. */
  readonly eventTime: string;
  readonly [attributes: string]: unknown;
}

/** All executions of a namespace that visibility has, or those of a query. */
export function listWorkflows(address: string, namespace: string, query?: string): ListedWorkflow[] {
  const filter = query === undefined ? [] : ['--query', query];
  const listed = temporal(address, namespace, ['workflow', 'list', '--limit', '10000', '--output', 'json', ...filter]);
  return (JSON.parse(listed || '[]') ?? []) as ListedWorkflow[];
}

/** The whole history of one execution as the server exports it. */
export function exportHistory(address: string, namespace: string, { workflowId, runId }: { workflowId: string; runId: string }): { text: string; events: HistoryEvent[] } {
  const text = temporal(address, namespace, ['workflow', 'show', '--workflow-id', workflowId, '--run-id', runId, '--output', 'json']);
  return { text, events: (JSON.parse(text) as { events: HistoryEvent[] }).events };
}
