import { remarkText } from '../output.ts';
import type { Register } from '../context.ts';

/** Exit 0: the file is right; 2: it is not, and each problem is told. */
export const register: Register = (program, context) => {
  program
    .command('validate')
    .description('check the file; each problem with file, line, path and what to write instead')
    .action(async () => {
      const { loadSettings } = await import('../../control/configuration/load.ts');
      const { file, settings, warnings } = await loadSettings(await context.configFile(), { env: context.env, requireEnv: true });
      const sources = settings.sources.length;
      const streams = settings.sources.reduce((sum, source) => sum + source.streams.length, 0);
      const { output } = context;
      await output.result({ ok: true, file, sources, streams, warnings }, () =>
        [
          ...warnings.map((warning) => `${output.colours.yellow('warning')} ${remarkText(warning, output.colours)}`),
          `${output.colours.green('ok')} ${file}: ${sources} ${sources === 1 ? 'source' : 'sources'}, ${streams} ${streams === 1 ? 'stream' : 'streams'}`,
        ].join('\n'),
      );
    });
};
