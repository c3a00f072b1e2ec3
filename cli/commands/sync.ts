import type { Destination } from '../../control/run-progress.ts';
import type { StartedSync } from '../../control/sync.ts';
import type { TemporalConnection } from '../../runtime/temporal-client.ts';
import { isDone, type StreamResult } from '../../schemas/run.ts';
import type { CliContext, Register } from '../context.ts';
import { placeOf } from '../place.ts';

interface SyncOptions {
  readonly all?: boolean;
  readonly stream?: string;
  readonly full?: boolean;
  readonly detectDeletes?: boolean;
  readonly detach?: boolean;
}

export const register: Register = (program, context) => {
  program
    .command('sync')
    .argument('[source...]', 'sources to sync (default: all)')
    .description('one run of each source; waits and shows progress')
    .option('--all', 'all sources')
    .option('--stream <name>', 'only this stream')
    .option('--full', 'build a new generation of each target')
    .option('--detect-deletes', 'look for deleted rows now, in streams with deletes: { detect: scan }')
    .option('--detach', 'start and do not wait')
    .action(async (sources: string[], options: SyncOptions) => {
      const { withTemporalAndDestination } = await import('../../control/open.ts');
      const place = await placeOf(context);
      const began = performance.now();
      await withTemporalAndDestination(place, async (temporal, destination) => {
        const { chooseSources, requireScanned } = await import('../../control/choose-sources.ts');
        const { startSyncs } = await import('../../control/sync.ts');
        const { changedSources } = await import('../../control/drift.ts');
        const { requireWorker } = await import('../../control/workers.ts');
        await warnIfChanged(context, await changedSources(place, destination));
        const chosen = await chooseSources(destination, sources, options.stream ?? null);
        if (options.detectDeletes === true && options.stream !== undefined) await requireScanned(destination, chosen, options.stream);
        await requireWorker(temporal);
        const start = () => startSyncs(temporal.client, { sources: chosen, streams: options.stream === undefined ? null : [options.stream], full: options.full === true, detectDeletes: options.detectDeletes === true });
        if (options.detach === true) return printDetached(context, await start());
        await awaitRuns(context, temporal.client, destination, start, began);
      });
    });
};

/** Starts runs, follows them to their end and prints their streams; Ctrl-C cancels them. `began`: of the command, by performance.now(); `more`: read at the end, for the document. */
export async function awaitRuns(
  context: CliContext,
  client: TemporalConnection['client'],
  destination: Destination,
  start: () => Promise<readonly StartedSync[]>,
  began: number,
  more: () => Promise<object> = async () => ({}),
): Promise<void> {
  const { cancelSync, finishSync } = await import('../../control/sync.ts');
  const { followSync } = await import('../progress.ts');
  // Asked for first: a Ctrl-C while runs are being started must find them, too.
  const signal = context.signal();
  const started = await start();
  const stopFollowing = followSync(context.output, destination, started);
  const cancel = () => started.forEach((each) => void cancelSync(client, each));
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    const ended = await Promise.allSettled(started.map((each) => finishSync(client, destination, each)));
    await stopFollowing();
    if (signal.aborted) return context.exitWith(130);
    const failed = ended.find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    const results = ended.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
    await printResults(context, results, (performance.now() - began) / 1_000, await more());
  } finally {
    await stopFollowing();
  }
}

async function printDetached(context: CliContext, started: readonly StartedSync[]): Promise<void> {
  await context.output.result({ ok: true, started }, () => started.map((each) => `${each.source}\t${each.workflowId}`).join('\n'));
}

async function printResults(context: CliContext, streams: readonly StreamResult[], seconds: number, more: object): Promise<void> {
  const { output } = context;
  const ok = streams.every(isDone);
  if (!ok) context.exitWith(1);
  await output.result({ ok, seconds: Math.round(seconds * 1_000) / 1_000, streams, ...more }, async () => {
    const rows = streams.map((s) => [s.source, s.stream, s.status, ...[s.batches, s.read, s.written, s.unchanged, s.rejected, s.deleted].map((n) => n.toLocaleString('en-US')), s.seconds.toFixed(1), s.watermark.to ?? '']);
    const table = await output.table(['source', 'stream', 'status', 'batches', 'read', 'written', 'unchanged', 'rejected', 'deleted', 'seconds', 'watermark'], rows);
    const remarks = streams.flatMap((s) => [
      ...s.notes.map((note) => `${output.colours.yellow('warning')} ${s.source} ${s.stream}: ${note}`),
      ...(s.error === null ? [] : [`${output.colours.red(s.status)} ${s.source} ${s.stream}: ${s.error.code}. ${s.error.message}${s.error.hint === null ? '' : ` ${s.error.hint}`}`]),
    ]);
    return [table, ...remarks].join('\n');
  });
}

/** `sync` runs what was applied; where the file differs it says so. */
async function warnIfChanged(context: CliContext, changed: readonly string[]): Promise<void> {
  if (changed.length > 0) await context.output.note(`The file differs from what was applied (${changed.join(', ')}); this runs what was applied. Run tidemark apply to change it.`);
}
