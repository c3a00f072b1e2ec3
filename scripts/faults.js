#!/usr/bin/env node
/** `npm run test:faults [-- PATTERN...]`: every case of the fault suite, of which `npm test` plays those that stand for their kind. */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const script = join(dirname(fileURLToPath(import.meta.url)), 'test.js');
const env = { ...process.env, TIDEMARK_FAULTS: 'all' };
process.exitCode = spawnSync(process.execPath, [script, 'faults', ...process.argv.slice(2)], { stdio: 'inherit', env }).status ?? 1;
