/** Files that a command writes for the user: never over one that is there. */
import { writeFile } from 'node:fs/promises';
import { TidemarkError } from '../schemas/errors.ts';

/** Throws `config.exists`, or `usage.invalid` where the file can't be written. */
export async function writeNewFile(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { flag: 'wx' });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new TidemarkError('config.exists', `${file} is already there and stays as it is.`, { hint: 'Name another file, or move that one away first.', cause });
    }
    throw new TidemarkError('usage.invalid', `${file} can't be written.`, { hint: 'Name a file in a folder that exists and that you may write to.', cause });
  }
}
