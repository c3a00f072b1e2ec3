#!/usr/bin/env node
/** `node .ci/node.js FILE ARGS...`: runs a script under the Node 24 that the project runs on, whatever the machine's is. */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepareRuntime } from '../scripts/test-runtime.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const node = await prepareRuntime(root, { temporal: false });
process.exitCode = spawnSync(node, process.argv.slice(2), { cwd: root, stdio: 'inherit' }).status ?? 1;
