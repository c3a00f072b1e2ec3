#!/usr/bin/env node
/** `node .ci/node.js FILE ARGS...`: runs a script under the Node 24 that the project runs on, whatever the machine's is. */
import { spawnSync } from 'node:child_process';
import { ROOT, prepare } from '../scripts/bootstrap/prepare.js';

const { node } = await prepare({ temporal: false });
process.exitCode = spawnSync(node, process.argv.slice(2), { cwd: ROOT, stdio: 'inherit' }).status ?? 1;
