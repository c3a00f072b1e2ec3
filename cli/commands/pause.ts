import type { PauseResult } from '../../control/operate.ts';
import type { CliContext, Register } from '../context.ts';
import { placeOf } from '../place.ts';

export const register: Register = (program, context) => {
  program
    .command('pause')
    .argument('<source>', 'a source')
    .description('stop syncing a source, or one stream, until it is resumed; takes effect between batches')
    .option('--stream <name>', 'only this stream')
    .action((source: string, options: { stream?: string }) => changePause(context, source, options.stream ?? null, true));
};

/** Pauses or resumes and prints what holds now. Only a source as a whole has a schedule, so only that needs Temporal. */
export async function changePause(context: CliContext, source: string, stream: string | null, paused: boolean, force = false): Promise<void> {
  const { withDestination, withTemporal } = await import('../../control/open.ts');
  const { setPausedState } = await import('../../control/operate.ts');
  const place = await placeOf(context);
  const command = { source, stream, paused, force };
  const result = stream !== null
    ? await withDestination(place, (destination) => setPausedState(destination, null, command))
    : await withTemporal(place, ({ client }) => withDestination(place, (destination) => setPausedState(destination, client, command)));
  await context.output.result({ ok: true, ...result }, () => pauseText(context, result));
}

function pauseText(context: CliContext, { source, stream, paused, warnings, breakerClosed }: PauseResult): string {
  const { colours } = context.output;
  const name = stream === null ? source : `${source} ${stream}`;
  const breaker = breakerClosed === undefined ? [] : [breakerClosed.length === 0 ? `${source}: its breaker was not open` : `${source}: breaker closed (${breakerClosed.join(', ')}); the next sync tries it`];
  return [`${name}: ${paused ? colours.yellow('paused') : colours.green('resumed')}`, ...breaker, ...warnings.map((warning) => `${colours.yellow('warning')} ${warning}`)].join('\n');
}
