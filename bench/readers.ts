/**
 * `node bench/readers.ts mysql|db2 [ROWS]`: rows per second of a connector's reader beside a bare driver loop that fetches the same rows and
 * drops them, in turns. Starts a server of its own and ends it. Prints one JSON line.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { useRunFolder } from '../test/support/own-run-folder.ts';
import { prepareDb2, prepareMysql, type Contest } from './readers-contest.ts';

const ROUNDS = 3;
const ROWS = 200_000;

async function main(): Promise<void> {
  const [kind, rows = String(ROWS)] = process.argv.slice(2);
  const prepare = { mysql: prepareMysql, db2: prepareDb2 }[kind ?? ''];
  if (prepare === undefined) throw new Error('usage: node bench/readers.ts mysql|db2 [ROWS]');
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-bench-'));
  useRunFolder(folder);
  const contest = await prepare(folder, Number(rows));
  try {
    const bare: number[] = [];
    const connector: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      bare.push(await rowsPerSecond(contest.bare));
      connector.push(await rowsPerSecond(contest.connector));
    }
    const [best, ours] = [Math.max(...bare), Math.max(...connector)];
    process.stdout.write(`${JSON.stringify({ kind, rows: Number(rows), bareRowsPerSecond: Math.round(best), connectorRowsPerSecond: Math.round(ours), cost: Number((best / ours).toFixed(2)) })}\n`);
  } finally {
    await contest.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function rowsPerSecond(read: Contest['bare']): Promise<number> {
  const started = performance.now();
  const rows = await read();
  return (rows * 1000) / (performance.now() - started);
}

await main();
process.exit(0);
