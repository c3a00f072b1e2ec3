#!/usr/bin/env node
/** The command `tidemark`. Plain JavaScript for any Node ≥ 18: finds (or brings) Node 24 and runs cli/main.ts with it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { handOver } from './bootstrap/hand-over.js';
import { bringNode, findNode } from './bootstrap/node.js';
import { ROOT } from './bootstrap/prepare.js';
import { MissingError, runMain } from './bootstrap/report.js';

await runMain(async () => {
  const node = findNode() ?? (await bringNode());
  if (!existsSync(join(ROOT, 'node_modules', 'zod')) && !existsSync(join(ROOT, '..', 'zod'))) {
    throw new MissingError('The packages of Tidemark are not installed.', [`run npm install in ${ROOT}`]);
  }
  const args = process.argv.slice(2);
  await handOver(node, join(ROOT, 'cli', 'main.ts'), args, { longRunning: args.includes('worker') });
});
