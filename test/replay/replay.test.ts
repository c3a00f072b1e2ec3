/**
 * The workflow code replays what released code did: a worker of this version can take over every run of the version before. A change
 * that can't needs a patch (`patched()`), or new histories recorded from a release that has it.
 */
import { readFile } from 'node:fs/promises';
import { DefaultLogger, makeTelemetryFilterString, Runtime, Worker } from '@temporalio/worker';
import { dataConverter } from '../../runtime/temporal-client.ts';
import { workflowBundle } from '../../workers/workflow-bundle.ts';
import { recordedHistories } from './history-files.ts';
import type { RecordedHistory } from './history-files.ts';
import { parseHistory } from './parse-history.ts';

const histories = recordedHistories();

async function replay(code: string, { workflowId, events }: RecordedHistory): Promise<void> {
  await Worker.runReplayHistory({ workflowBundle: { code }, dataConverter }, parseHistory(events), workflowId);
}

describe('replay', () => {
  let code: string;

  beforeAll(async () => {
    // What a self-test provokes is told by its failure, not by the log as well.
    const filter = makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' });
    Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined), telemetryOptions: { logging: { filter } } });
    code = await readFile(await workflowBundle(), 'utf8');
  });

  test('there is a history of each kind of run', () => {
    const kinds = new Set(histories.map(({ name }) => name.split('.')[0]));
    expect([...kinds].sort()).toEqual(['cancelled', 'first-load', 'full', 'increment', 'parked', 'quarantine', 'window']);
  });

  test.each(histories.map((history) => [history.name, history] as const))('%s', async (_, history) => {
    await replay(code, history);
  });

  // What a change of the code would be, made in the bundle: each is seen by a history that went that way.
  test.each([
    ['a step has another name', 'prepareStream(', 'prepareStreams(', 'first-load.syncStream-1'],
    ['a step is left out', '.keyBuild(', '.valueOf(', 'first-load.syncStream-1'],
    ['a failure is handled another way', '.endStream({', '.endStreams({', 'parked.syncStream-1'],
    ['a stream is no workflow of its own any more', '(0,_temporalio_workflow__WEBPACK_IMPORTED_MODULE_0__.executeChild)(', 'Promise.resolve(', 'increment.syncSource-1'],
  ])('self-test: where %s, replay fails', async (_, from, to, name) => {
    const changed = code.replaceAll(from, to);
    expect(changed === code).toBe(false);
    const history = histories.find((each) => each.name === name);
    if (history === undefined) throw new Error(`no history ${name}`);
    await expect(replay(changed, history)).rejects.toMatchObject({ name: 'DeterminismViolationError' });
  });
});
