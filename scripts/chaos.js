#!/usr/bin/env node
/**
 * `npm run test:chaos -- [--seed N] [--minutes M] [--source postgres|mysql|db2] [--dry-run]`: plays a random schedule of faults; without a seed, a
 * new one, which is printed. `--dry-run` prints the schedule and plays nothing. Plain JavaScript for any Node ≥ 18.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const SOURCES = ['postgres', 'mysql', 'db2'];
const SEED_MAX = 2 ** 31;

function usage(problem) {
  process.stderr.write(`${problem}\nusage: npm run test:chaos -- [--seed N] [--minutes M] [--source ${SOURCES.join('|')}] [--dry-run]\n`);
  process.exit(2);
}

function options() {
  try {
    const text = { type: 'string' };
    return parseArgs({ options: { seed: text, minutes: text, source: text, 'dry-run': { type: 'boolean' } } }).values;
  } catch (error) {
    return usage(error.message);
  }
}

const given = options();
const seed = given.seed ?? String(Math.floor(Math.random() * SEED_MAX));
const minutes = given.minutes ?? '5';
const source = given.source ?? 'postgres';
if (!/^\d{1,10}$/.test(seed)) usage('--seed is a whole number');
if (!(Number(minutes) > 0)) usage('--minutes is a number above 0');
if (!SOURCES.includes(source)) usage(`--source is one of ${SOURCES.join(', ')}`);

const run = (script, args, env = {}) => spawnSync(process.execPath, [join(root, script), ...args], { stdio: 'inherit', env: { ...process.env, ...env } }).status ?? 1;

if (given['dry-run']) {
  process.exitCode = run('.ci/node.js', [join(root, 'test/faults/chaos/dry-run.ts'), seed, minutes]);
} else {
  process.stderr.write(`chaos: seed ${seed}\n`);
  const env = { TIDEMARK_CHAOS_SEED: seed, TIDEMARK_CHAOS_MINUTES: minutes, TIDEMARK_CHAOS_SOURCE: source };
  process.exitCode = run('scripts/test.js', ['faults', 'test/faults/chaos/chaos.test.ts', '-t', 'chaos, seed'], env);
}
