import { InvalidArgumentError } from 'commander';
import type { Register } from '../context.ts';
import { writeNewFile } from '../new-file.ts';

const COUNT_MAX = 100_000;

interface GenerateOptions {
  readonly count: number;
  readonly out?: string;
  readonly endpoints?: boolean;
  readonly extend?: string;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= COUNT_MAX) return count;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${COUNT_MAX}.`);
}

/** Without `--out` the file goes to stdout; with `--json` it stands in `text`. Exit 2 if `--out` is there already. */
export const register: Register = (program, context) => {
  program
    .command('generate')
    .description('write a file with N sources from a template, for load tests and fleets')
    .requiredOption('--count <n>', 'number of sources in the file', parseCount)
    .option('--out <file>', 'where to write it (default: stdout); never overwrites')
    .option('--endpoints', 'write the `endpoints:` spelling')
    .option('--extend <file>', 'keep the sources of this file and add to them')
    .action(async ({ count, out, endpoints, extend }: GenerateOptions) => {
      const { generateFleet } = await import('../../control/configuration/fleet.ts');
      const { parseConfigText, readConfigText } = await import('../../control/configuration/document.ts');
      const { loadRegistry } = await import('../../connectors/registry.ts');
      const base = extend === undefined ? null : await readConfigText(extend);
      if (base !== null) parseConfigText(extend ?? '', base);
      const { manifests } = await loadRegistry();
      const { text, variables } = generateFleet(manifests, { count, endpoints: endpoints === true, base });
      if (out === undefined) {
        await context.output.result({ ok: true, sources: count, variables, text }, () => text);
        return;
      }
      await writeNewFile(out, text);
      await context.output.result({ ok: true, file: out, sources: count, variables }, () => `Wrote ${out}: ${count} sources\nVariables it needs: ${variables.join(', ')}`);
    });
};
