/** The commands are the files of `cli/commands/`: adding one is adding a file. Only what a call needs is loaded. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Register } from './context.ts';

/** Global options whose value is the next argument. */
const WITH_VALUE: readonly string[] = ['-c', '--config', '--data-dir'];

/** The first argument that is no global option: the command's name, if there is one. */
export function commandIn(args: readonly string[]): string | null {
  for (let index = 0; index < args.length; index += 1) {
    const argument = args[index] ?? '';
    if (WITH_VALUE.includes(argument)) index += 1;
    else if (!argument.startsWith('-')) return argument;
  }
  return null;
}

async function load(name: string): Promise<Register> {
  const loaded = (await import(`./commands/${name}.ts`)) as { register: Register };
  return loaded.register;
}

/** The one that `args` name, or all of them: for help, and to suggest the nearest to an unknown one. */
export async function loadCommands(args: readonly string[]): Promise<readonly Register[]> {
  const files = await readdir(join(import.meta.dirname, 'commands'));
  const names = files.filter((file) => file.endsWith('.ts')).map((file) => file.slice(0, -'.ts'.length)).sort();
  const wanted = commandIn(args);
  return Promise.all((wanted !== null && names.includes(wanted) ? [wanted] : names).map(load));
}
