/** Runs before the tests of each file: bounds its tests and hooks, and releases in reverse order what the file acquired. */
import { releaseAll } from './release.ts';

declare global {
  /** From the file's project in jest.config.js. */
  var testTimeoutMs: number;
}

jest.setTimeout(globalThis.testTimeoutMs);

afterAll(releaseAll);
