#!/usr/bin/env node
/** `npm start`: brings what is missing, then runs the demo. Plain JavaScript without dependencies for any Node ≥ 18. */
import { join } from 'node:path';
import { handOver } from './bootstrap/hand-over.js';
import { prepare, ROOT } from './bootstrap/prepare.js';
import { runMain } from './bootstrap/report.js';

await runMain(async () => {
  const { node } = await prepare({ temporal: !process.env.TEMPORAL_ADDRESS });
  await handOver(node, join(ROOT, 'examples', 'demo', 'main.ts'), process.argv.slice(2));
});
