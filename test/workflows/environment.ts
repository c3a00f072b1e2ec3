/**
 * Workflows on a real server with activities that are plain objects: Temporal's time-skipping test server, or the dev server where a test
 * needs what only that one has. The workflow code is the bundle that workers run.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { SearchAttributeType } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, makeTelemetryFilterString, Runtime, Worker } from '@temporalio/worker';
import { dataConverter } from '../../runtime/temporal-client.ts';
import { hasTestServer, testServerFolder } from '../../scripts/temporal-test-server-folder.js';
import { workflowBundle } from '../../workers/workflow-bundle.ts';
import { which } from '../support/find-servers.js';
import { onFileEnd } from '../support/release.ts';
import { scratchFolder } from '../support/shared-server.ts';
import { temporalProgram } from '../support/temporal.ts';

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

/** Time passes at once while every workflow waits for a timer and somebody waits for a result. Ends with the test file. */
export async function timeSkippingServer(): Promise<TestWorkflowEnvironment> {
  quiet();
  const program = join(scratchFolder('test-server'), 'server');
  const java = `exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '${testServerFolder()}/*' io.temporal.testserver.TestServer "$@" 2>/dev/null`;
  writeFileSync(program, `#!/bin/sh\n${java}\n`, { mode: 0o755 });
  const environment = await TestWorkflowEnvironment.createTimeSkipping({ server: { executable: { type: 'existing-path', path: program } } });
  onFileEnd(() => environment.teardown());
  const searchAttributes = Object.fromEntries(ATTRIBUTES.map((name) => [name, 2 as const]));
  await environment.connection.operatorService.addSearchAttributes({ namespace: 'default', searchAttributes });
  return environment;
}

/** The dev server, with settings of its own. Ends with the test file. */
export async function devServer(settings: Readonly<Record<string, string>>): Promise<TestWorkflowEnvironment> {
  quiet();
  const extraArgs = Object.entries(settings).flatMap(([name, value]) => ['--dynamic-config-value', `${name}=${value}`]);
  const searchAttributes = ATTRIBUTES.map((name) => ({ name, type: SearchAttributeType.KEYWORD }));
  const environment = await TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'existing-path', path: temporalProgram() }, ip: '127.0.0.1', log: { format: 'pretty', level: 'error' }, extraArgs, searchAttributes } });
  onFileEnd(() => environment.teardown());
  return environment;
}

/** Runs `work` beside a worker that has these activities, and ends the worker. */
export async function withWorker<T>(environment: TestWorkflowEnvironment, activities: object, work: () => Promise<T>): Promise<T> {
  const worker = await Worker.create({
    connection: environment.nativeConnection,
    namespace: environment.namespace ?? 'default',
    taskQueue: QUEUE,
    workflowBundle: { codePath: await workflowBundle() },
    dataConverter,
    activities,
    maxHeartbeatThrottleInterval: 100,
    defaultHeartbeatThrottleInterval: 100,
    shutdownForceTime: 2_000,
  });
  return worker.runUntil(work);
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
