import type { Register } from '../context.ts';
import { changePause } from './pause.ts';

export const register: Register = (program, context) => {
  program
    .command('resume')
    .argument('<source>', 'a source')
    .description('go on with a source, or one stream, that was paused')
    .option('--stream <name>', 'only this stream')
    .option('--force', 'also close an open breaker')
    .action((source: string, options: { stream?: string; force?: true }) => changePause(context, source, options.stream ?? null, false, options.force === true));
};
