import { RUN_FOLDER } from './run-folder.js';

/** Servers started from here on belong to `folder`, for programs that jest does not run. */
export function useRunFolder(folder: string): void {
  process.env[RUN_FOLDER] = folder;
}
