/** The native driver: where it is, and the part of it that is used here. Only the reader's process loads it. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { TidemarkError } from '../../schemas/errors.ts';

export const DRIVER_VERSION = '4.0.1';
export const DRIVER_INSTALL = 'node scripts/install-db2.js';

/** Where `scripts/install-db2.js` puts the driver: beside the checkout's packages, so that no install of them depends on it. */
function cachedDriver(): string {
  return join(homedir(), '.cache', 'tidemark', 'db2-driver', `ibm_db-${DRIVER_VERSION}-${process.platform}-${process.arch}`, 'node_modules', 'ibm_db');
}

function installedDriver(): string | null {
  try {
    return dirname(createRequire(join(import.meta.dirname, 'driver.ts')).resolve('ibm_db/package.json'));
  } catch {
    return null;
  }
}

/** The folder of a driver that was built for this machine; null where there is none. */
export function findDriver(): string | null {
  const folders = [installedDriver(), cachedDriver()];
  return folders.find((folder) => folder !== null && existsSync(join(folder, 'build', 'Release', 'odbc_bindings.node'))) ?? null;
}

export function driverMissing(cause?: unknown): TidemarkError {
  return new TidemarkError('source.driver_missing', 'The Db2 driver is not installed on this machine.', {
    hint: `Run ${DRIVER_INSTALL} (or npm install --no-save ibm_db@${DRIVER_VERSION}); everything but Db2 sources works without it.`,
    cause,
  });
}

export type Cell = string | number | boolean | Buffer | null;

export interface NativeResult {
  /** A row, or in block fetches an array of rows; null after the last. */
  fetch(option: { readonly fetchMode: 3 }): Promise<readonly Cell[] | readonly (readonly Cell[])[] | null>;
  closeSync(): void;
}

export interface NativeStatement {
  setAttrSync(attribute: number, value: number): unknown;
  execute(parameters: readonly string[]): Promise<NativeResult | readonly [NativeResult, ...unknown[]]>;
  closeSync(): void;
}

export interface NativeDatabase {
  prepare(sql: string): Promise<NativeStatement>;
  getInfoSync(infoType: number, length: number): unknown;
  closeSync(): void;
}

export interface NativeDriver {
  open(connectionString: string): Promise<NativeDatabase>;
}
