/**
 * Memory that was freed a moment ago, the same for both sides of a contest. A virtual machine gives free memory back to its host within seconds, and whoever
 * needs it again waits for each page: what one side left behind, and when it was dropped, made a first load of 6,001,215 rows two seconds slower or faster.
 */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { scratchFolder } from '../test/support/shared-server.ts';

const FILE_BYTES = 256 << 20;
const CHUNK_BYTES = 8 << 20;
/** Faster than a load takes it, and not all at once: what is free for long is given back. */
const FREE_EVERY_MS = 800;
/** Of memory that is free; more would push the source's table out of the cache. */
const SHARE_MAX = 0.25;

let freeing: Promise<void> = Promise.resolve();

/** Fills so many bytes of the system's file cache, and frees them within the next seconds. To be called right before a side's time begins. */
export async function freeMemory(bytes: number): Promise<void> {
  await freeing;
  const folder = scratchFolder('memory');
  const files: string[] = [];
  for (let left = Math.min(bytes, SHARE_MAX * freemem()); left > 0; left -= FILE_BYTES) files.push(fill(join(folder, String(files.length)), Math.min(left, FILE_BYTES)));
  freeing = free(files);
}

function fill(file: string, bytes: number): string {
  const chunk = Buffer.alloc(CHUNK_BYTES, 1);
  const descriptor = openSync(file, 'w');
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) writeSync(descriptor, chunk);
  closeSync(descriptor);
  return file;
}

async function free(files: readonly string[]): Promise<void> {
  for (const [index, file] of files.entries()) {
    if (index > 0) await sleep(FREE_EVERY_MS);
    rmSync(file, { force: true });
  }
}
