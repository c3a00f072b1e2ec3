import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** A server replaces a file now and then; one that does so in every look is broken. */
const LOOKS_MAX = 20;

/**
 * The files of a folder that contain a text; a server may be writing in it. A file that goes while the folder is read may have come back under a name that was
 * passed already, so only a look in which none went counts.
 */
export function filesWith(folder: string, text: string): readonly string[] {
  for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
    try {
      return everyFile(folder).filter((file) => readFileSync(file).includes(text));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error(`files of ${folder} went in each of ${LOOKS_MAX} looks`);
}

export function everyFile(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
