import type { BackfillResult, BackfillState, StartedBackfill } from '../../control/backfill.ts';
import type { Destination } from '../../control/run-progress.ts';
import type { TemporalConnection } from '../../runtime/temporal-client.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { CliContext, Register } from '../context.ts';
import { placeOf } from '../place.ts';

const PARALLEL_MAX = 16;
const LOOK_MS = 1_000;

interface BackfillOptions {
  readonly from: string;
  readonly to: string;
  readonly slice?: string;
  readonly parallel: string;
  readonly onlyGaps?: boolean;
  readonly detach?: boolean;
}

export const register: Register = (program, context) => {
  program
    .command('backfill')
    .argument('<source>', 'a source')
    .argument('<stream>', 'one of its streams')
    .description('re-syncs a range of cursor values; the live watermark stays')
    .requiredOption('--from <value>', 'first cursor value, inclusive: a time or a number')
    .requiredOption('--to <value>', 'last cursor value, exclusive')
    .option('--slice <length>', 'length of a slice: 1h, 1d, or a number for a number cursor (default: 1d, or 100000)')
    .option('--parallel <n>', 'slices at once, 1 to 16', '2')
    .option('--only-gaps', 'leave out the slices that the ledger proves')
    .option('--detach', 'start and do not wait')
    .action(async (source: string, stream: string, options: BackfillOptions) => {
      const parallel = parseParallel(options.parallel);
      const { withDestination, withTemporal } = await import('../../control/open.ts');
      const { startBackfill } = await import('../../control/backfill.ts');
      const { requireWorker } = await import('../../control/workers.ts');
      const place = await placeOf(context);
      const began = performance.now();
      await withTemporal(place, (temporal) =>
        withDestination(place, async (destination) => {
          await requireWorker(temporal);
          const { from, to, slice = null, onlyGaps = false } = options;
          const start = () => startBackfill(temporal.client, destination, { source, stream, from, to, slice, parallel, onlyGaps });
          if (options.detach !== true) return awaitBackfill(context, temporal.client, destination, start, began);
          const started = await start();
          await context.output.result({ ok: true, started: [started] }, () => `${source}\t${started.workflowId}`);
        }),
      );
    });
};

function parseParallel(text: string): number {
  const parallel = Number(text);
  if (/^\d+$/.test(text) && parallel >= 1 && parallel <= PARALLEL_MAX) return parallel;
  throw new TidemarkError('usage.invalid', `--parallel takes a whole number from 1 to ${PARALLEL_MAX}.`, { hint: 'For example --parallel 4.' });
}

/** Starts a backfill, follows it to its end and prints it; Ctrl-C cancels it. */
async function awaitBackfill(context: CliContext, client: TemporalConnection['client'], destination: Destination, start: () => Promise<StartedBackfill>, began: number): Promise<void> {
  const { cancelBackfill, finishBackfill } = await import('../../control/backfill.ts');
  // Asked for first: a Ctrl-C while it is being started must find it, too.
  const signal = context.signal();
  const started = await start();
  const ended = new AbortController();
  const following = follow(context, destination, started, ended.signal).catch(() => undefined);
  const cancel = () => void cancelBackfill(client, started);
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    const result = await finishBackfill(client, destination, started, began);
    ended.abort();
    await following;
    await printResult(context, result, (performance.now() - began) / 1_000);
    if (signal.aborted) context.exitWith(130);
  } finally {
    ended.abort();
    await following;
  }
}

/** On stderr: on a terminal one line that is drawn again, in a pipe a line whenever slices were finished, with `--json` nothing. */
async function follow(context: CliContext, destination: Destination, started: StartedBackfill, ended: AbortSignal): Promise<void> {
  if (context.output.json) return;
  const { readBackfill } = await import('../../control/backfill.ts');
  const { setTimeout: sleep } = await import('node:timers/promises');
  const draw = process.stderr.isTTY === true ? (await import('log-update')).createLogUpdate(process.stderr, { showCursor: true }) : null;
  let told = '';
  while (!ended.aborted) {
    const state = await readBackfill(destination, started).catch(() => null);
    const line = state === null || state.slices.total === 0 ? '' : progressLine(state);
    if (draw !== null) draw(line);
    else if (line !== '' && line !== told) await context.output.note(line);
    told = line;
    await sleep(LOOK_MS, undefined, { signal: ended }).catch(() => undefined);
  }
  draw?.clear();
}

/** `12 of 30 slices, 3 of them proven by the ledger, 1,200 rows read, 10 written`. */
export function progressLine({ slices, read, written }: BackfillState): string {
  const proven = slices.proven === 0 ? '' : `, ${slices.proven} of them proven by the ledger`;
  return `${slices.done + slices.proven} of ${slices.total} slices${proven}, ${read.toLocaleString('en-US')} rows read, ${written.toLocaleString('en-US')} written`;
}

async function printResult(context: CliContext, result: BackfillResult, seconds: number): Promise<void> {
  const { output } = context;
  const ok = result.status === 'completed';
  if (!ok) context.exitWith(1);
  await output.result({ ok, seconds: Math.round(seconds * 1_000) / 1_000, streams: [result] }, async () => {
    const { source, stream, status, slices, read, written, unchanged, rejected, superseded, error } = result;
    const counts = [slices.done, slices.proven, slices.total, read, written, unchanged, rejected, superseded].map((count) => count.toLocaleString('en-US'));
    const table = await output.table(['source', 'stream', 'status', 'slices done', 'proven', 'of', 'read', 'written', 'unchanged', 'rejected', 'superseded'], [[source, stream, status, ...counts]]);
    return error === null ? table : `${table}\n${output.colours.red(status)} ${source} ${stream}: ${error.code}. ${error.message}${error.hint === null ? '' : ` ${error.hint}`}`;
  });
}
