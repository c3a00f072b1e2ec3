#!/usr/bin/env node
/** `npm run bench [-- NAME...] [--rows N] [--rounds N] [--json]`. Plain JavaScript for any Node ≥ 18: brings Node 24 and Temporal, then runs bench/main.ts. */
import { join } from 'node:path';
import { handOver } from './bootstrap/hand-over.js';
import { prepare, ROOT } from './bootstrap/prepare.js';
import { runMain } from './bootstrap/report.js';

await runMain(async () => {
  const { node } = await prepare({ temporal: true });
  await handOver(node, join(ROOT, 'bench', 'main.ts'), process.argv.slice(2));
});
