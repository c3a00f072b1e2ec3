/** The same as crash.test.ts with a real end: the process that runs the step kills itself with SIGKILL, its sessions and locks stay behind. */
import { join } from 'node:path';
import type { FaultPhase } from '../../pipeline/fault-point.ts';
import { describeWith, repositoryRoot } from '../support/describe-with.ts';
import { startProcess } from '../support/processes.ts';
import { scratchFolder } from '../support/shared-server.ts';
import { OneStream, ROWS, SOURCE, TABLE } from './one-stream.ts';
import type { Product } from './one-stream.ts';
import type { DoomedStep } from './doomed-step.ts';

const PROGRAM = join(repositoryRoot, 'test', 'faults', 'doomed-step.ts');

/** Runs one step in a process of its own that dies at `phase`. */
async function dies(stream: OneStream, phase: FaultPhase, step: DoomedStep): Promise<void> {
  const log = join(scratchFolder('doomed'), 'log');
  const env = { ...stream.source.secrets, DESTINATION_URL: stream.target.url, DOOMED_PHASE: phase, DOOMED_STEP: JSON.stringify(step) };
  const doomed = startProcess(process.execPath, { args: ['--disable-warning=ExperimentalWarning', PROGRAM], env, log, cwd: repositoryRoot });
  const end = await doomed.exited;
  if (end !== 'SIGKILL') throw new Error(`the process ended with ${end} instead of dying at ${phase}; its log: ${log}`);
}

const PRODUCTS: readonly Product[] = ['postgres', 'mariadb'];

// The transaction of a killed reader may still be open at the source when the next read looks: that read reaches back, and the changed rows
// come in a later batch of the run. So each case brings its run to the end, and then counts.
describeWith({ postgres: true, mariadb: true }, 'a worker killed with SIGKILL', () => {
  describe.each(PRODUCTS)('%s', (product) => {
    let stream: OneStream;
    beforeAll(async () => {
      stream = await OneStream.create({ product });
      await stream.sync();
    });

    test.each(['P1', 'P3', 'P4'] as const)('in an extract, at %s', async (phase) => {
      stream.runId = `killed-${phase}`;
      await stream.change(1, 10, phase);
      const step = stream.nextStep((await stream.prepare()).generation);
      await dies(stream, phase, { do: 'extract', ref: { source: SOURCE, stream: TABLE, runId: stream.runId, step: step.name, generation: step.generation } });
      await stream.load((await stream.extract(step)).batch);
      await stream.sync();
      expect(await stream.faults(10)).toEqual([]);
    });

    test.each(['P5', 'P6', 'P7'] as const)('in a load, at %s', async (phase) => {
      stream.runId = `killed-${phase}`;
      await stream.change(1, 10, phase);
      const { batch } = await stream.extract(stream.nextStep((await stream.prepare()).generation));
      await dies(stream, phase, { do: 'load', batch });
      await stream.load(batch);
      await stream.sync();
      expect(await stream.faults(10)).toEqual([]);
    });
  });

  test.each(['P6', 'P7'] as const)('in the copy of a part, at %s', async (phase) => {
    const stream = await OneStream.create({ product: 'postgres' });
    const prepared = await stream.prepare();
    if (prepared.action !== 'build') throw new Error('a first load builds');
    const [part] = prepared.parts;
    const step = stream.nextStep(prepared.generation);
    await dies(stream, phase, { do: 'copy', part: part!, ref: { source: SOURCE, stream: TABLE, runId: stream.runId, step: step.name, generation: step.generation } });
    await stream.copy(step, part!);
    await stream.sync();
    expect(await stream.faults(ROWS)).toEqual([]);
  });
});
