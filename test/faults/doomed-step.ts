/** One step of the pipeline in a process of its own that kills itself with SIGKILL at DOOMED_PHASE. Exit 0: it got to the end. */
import { openDestination } from '../../destinations/postgres/destination.ts';
import type { BatchStep } from '../../destinations/postgres/batch.ts';
import { copyPart } from '../../pipeline/copy-part.ts';
import { extractBatch } from '../../pipeline/extract.ts';
import { onFaultPoint } from '../../pipeline/fault-point.ts';
import { loadBatch } from '../../pipeline/load.ts';
import { createEngine } from '../../workers/wiring.ts';

export type DoomedStep =
  | { readonly do: 'extract'; readonly ref: BatchStep }
  | { readonly do: 'copy'; readonly ref: BatchStep; readonly part: number }
  | { readonly do: 'load'; readonly batch: number };

async function run(step: DoomedStep): Promise<void> {
  const destination = openDestination(process.env['DESTINATION_URL'] ?? '');
  const engine = createEngine(destination, () => process.env);
  const signal = new AbortController().signal;
  if (step.do === 'extract') await extractBatch(engine, step.ref, signal, () => undefined);
  else if (step.do === 'copy') await copyPart(engine, step.ref, step.part, signal, () => undefined);
  else await loadBatch(engine, { batch: step.batch, part: null });
  await destination.close();
}

const text = process.env['DOOMED_STEP'];
if (text !== undefined) {
  onFaultPoint(async (phase) => {
    if (phase !== process.env['DOOMED_PHASE']) return;
    process.kill(process.pid, 'SIGKILL');
    // The signal arrives before anything else runs; nothing after this place may.
    await new Promise(() => undefined);
  });
  run(JSON.parse(text) as DoomedStep).then(
    () => process.exit(0),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
}
