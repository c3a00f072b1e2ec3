/**
 * Workflows on a real server with activities that are plain objects: Temporal's time-skipping test server, or the dev server where a test
 * needs what only that one has. The workflow code is the bundle that workers run.
 */
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, makeTelemetryFilterString, Runtime, Worker } from '@temporalio/worker';
import { dataConverter } from '../../runtime/temporal-client.ts';
import { bulkQueue } from '../../schemas/task-queue.ts';
import { hasTestServer, testServerFolder } from '../../scripts/temporal-test-server-folder.js';
import { workflowBundle } from '../../workers/workflow-bundle.ts';
import { which } from '../support/find-servers.js';
import { freePort, startProcess, waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { scratchFolder } from '../support/shared-server.ts';
import { privateTemporal } from '../support/temporal.ts';

const ATTRIBUTES = ['TidemarkSource', 'TidemarkStream', 'TidemarkStatus', 'TidemarkRun', 'TidemarkKind'];

export const QUEUE = 'tidemark';

const NEED = hasTestServer(testServerFolder()) && which('java') !== null ? null : 'needs Java and the time-skipping server of scripts/install-temporal-test-server.js';

/** A suite that is skipped by name where the time-skipping server cannot be had. */
export function describeTimeSkipping(name: string, suite: () => void): void {
  if (NEED === null) describe(name, suite);
  else describe.skip(`${name} [${NEED}]`, suite);
}

let installed = false;

function quiet(): void {
  if (installed) return;
  installed = true;
  const filter = makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' });
  Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined), telemetryOptions: { logging: { filter } } });
}

/**
 * Time passes at once while every workflow waits for a timer and somebody waits for a result. Ends with the test file.
 *
 * The SDK gives a server that it starts five seconds, which is little for Java on a busy machine: so it is given one that runs already, and a program that does nothing.
 */
export async function timeSkippingServer(): Promise<TestWorkflowEnvironment> {
  quiet();
  const folder = scratchFolder('test-server');
  const [port, log, program] = [await freePort(), join(folder, 'server.log'), join(folder, 'nothing')];
  const java = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', `${testServerFolder()}/*`, 'io.temporal.testserver.TestServer', String(port)];
  const server = startProcess(which('java') ?? 'java', { args: java, cwd: folder, log });
  onFileEnd(async () => void (await server.stop()));
  await waitFor('the time-skipping server', () => listens(port), 60_000, log);
  writeFileSync(program, '#!/bin/sh\nwhile kill -0 $PPID; do sleep 1; done\n', { mode: 0o755 });
  const environment = await TestWorkflowEnvironment.createTimeSkipping({ server: { executable: { type: 'existing-path', path: program }, port } });
  onFileEnd(() => environment.teardown());
  const searchAttributes = Object.fromEntries(ATTRIBUTES.map((name) => [name, 2 as const]));
  await environment.connection.operatorService.addSearchAttributes({ namespace: 'default', searchAttributes });
  return environment;
}

function listens(port: number): Promise<true | null> {
  const socket = connect({ host: '127.0.0.1', port });
  return new Promise<true | null>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(null));
  }).finally(() => socket.destroy());
}

/** The dev server, with settings of its own. Ends with the test file. */
export async function devServer(settings: Readonly<Record<string, string>>): Promise<TestWorkflowEnvironment> {
  quiet();
  const { address } = await privateTemporal(settings);
  const environment = await TestWorkflowEnvironment.createFromExistingServer({ address });
  onFileEnd(() => environment.teardown());
  return environment;
}

/** Runs `work` beside a worker that has these activities, and ends the worker. */
export async function withWorker<T>(environment: TestWorkflowEnvironment, activities: object, work: () => Promise<T>): Promise<T> {
  const options = {
    connection: environment.nativeConnection,
    namespace: environment.namespace ?? 'default',
    dataConverter,
    activities,
    maxHeartbeatThrottleInterval: 100,
    defaultHeartbeatThrottleInterval: 100,
    shutdownForceTime: 2_000,
  };
  const worker = await Worker.create({ ...options, taskQueue: QUEUE, workflowBundle: { codePath: await workflowBundle() } });
  const bulk = await Worker.create({ ...options, taskQueue: bulkQueue(QUEUE) });
  return worker.runUntil(() => bulk.runUntil(work));
}

export interface Event {
  readonly type: string;
  readonly at: number;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** The history of a workflow: each event's kind in upper case, its time in milliseconds since the epoch. */
export async function historyOf(handle: WorkflowHandle): Promise<readonly Event[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).map((event) => {
    const kind = Object.keys(event).find((name) => name.endsWith('EventAttributes') && Reflect.get(event, name) !== null && Reflect.get(event, name) !== undefined) ?? '';
    const { seconds, nanos } = event.eventTime ?? {};
    return { type: kind.replace(/EventAttributes$/, ''), at: Number(seconds ?? 0) * 1000 + Number(nanos ?? 0) / 1e6, attributes: (Reflect.get(event, kind) ?? {}) as Record<string, unknown> };
  });
}
