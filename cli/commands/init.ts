import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Register } from '../context.ts';
import { writeNewFile } from '../new-file.ts';

/** The commented example is the template, so that what `init` writes is tested as an example. */
const TEMPLATE = join(import.meta.dirname, '..', '..', 'examples', 'tidemark.yaml');

/** Exit 2 if the file is there already. */
export const register: Register = (program, context) => {
  program
    .command('init')
    .description('write a commented tidemark.yaml to start from; never overwrites')
    .action(async () => {
      const file = await context.configFile();
      await writeNewFile(file, await readFile(TEMPLATE, 'utf8'));
      await context.output.result({ ok: true, file }, () => `Wrote ${file}\nEdit it, then: tidemark validate`);
    });
};
