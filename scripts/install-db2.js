#!/usr/bin/env node
/**
 * Installs the native Db2 driver (`ibm_db`) outside of the checkout's packages, so that no `npm ci` depends on it.
 *
 *   node scripts/install-db2.js [--force]
 *
 * It goes to `db2-driver` in the cache (see bootstrap/cache.js). IBM's CLI driver
 * comes from IBM's own server where that answers, else from the wheel of the same name on PyPI (Linux on x64), which holds the same files.
 * Needs npm, a C++ compiler, make and Python; the second way pip as well. Runs on any Node from 18 on; several may run at once.
 * Exit 0: the driver is there and loads. Exit 3: it can't be had, and why.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { driverFolder, DRIVER_VERSION as VERSION } from './db2-driver-folder.js';
import { cacheFolder, putInPlace, workFolder } from './bootstrap/cache.js';

const WHEEL_VERSION = '3.3.0';
const IBM_SERVER = 'https://public.dhe.ibm.com/ibmdl/export/pub/software/data/db2/drivers/odbc_cli/';
const PROBE_MS = 10_000;
const STEP_MS = 10 * 60_000;

const checkout = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const cache = cacheFolder();
const target = driverFolder();

const driverIn = (folder) => join(folder, 'node_modules', 'ibm_db');
const say = (text) => process.stderr.write(`db2 driver: ${text}\n`);

/** @returns {string | null} what went wrong, in one line */
function run(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: 'utf8', timeout: STEP_MS, maxBuffer: 64 * 1024 * 1024, stdio: ['ignore', 'pipe', 'pipe'], ...options });
  if (done.error) return `${command}: ${done.error.code ?? done.error.message}`;
  if (done.status === 0) return null;
  const lines = `${done.stdout}\n${done.stderr}`.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  const telling = lines.findLast((line) => /error|fail|not found/i.test(line)) ?? lines.at(-1) ?? '';
  return `${command} ended with ${done.status ?? done.signal}: ${telling.slice(0, 200)}`;
}

/** In a process of its own: a native library that does not fit this machine may end the process that loads it. */
function loads(folder) {
  if (!existsSync(join(driverIn(folder), 'build', 'Release', 'odbc_bindings.node'))) return 'nothing was built';
  return run(process.execPath, ['-e', 'require(process.argv[1]); process.exit(0)', driverIn(folder)], { timeout: 60_000 });
}

/** The folder with Node's headers, which the driver compiles against: beside this Node, or beside the one in the cache. */
function headers() {
  const packages = join(cache, 'node', 'node_modules');
  const cached = existsSync(packages) ? readdirSync(packages).map((name) => join(packages, name)) : [];
  const folders = [resolve(dirname(process.execPath), '..'), ...cached];
  return folders.find((folder) => existsSync(join(folder, 'include', 'node', 'node_api.h'))) ?? null;
}

function npmInstall(folder, environment) {
  const nodedir = headers();
  const env = { ...process.env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter), ...environment };
  // Settings of an npm that runs this script would otherwise apply to this install too.
  for (const name of Object.keys(env)) if (/^npm_(package|lifecycle|config_(prefix|local_prefix|global_prefix|omit))/.test(name)) delete env[name];
  if (nodedir !== null) env.npm_config_nodedir = nodedir;
  const args = ['install', `ibm_db@${VERSION}`, '--save-exact', '--ignore-scripts=false', '--no-audit', '--no-fund', '--foreground-scripts'];
  const failed = run(process.platform === 'win32' ? 'npm.cmd' : 'npm', args, { cwd: folder, env, shell: process.platform === 'win32' });
  return failed ?? loads(folder);
}

async function ibmAnswers() {
  try {
    const answer = await fetch(IBM_SERVER, { method: 'HEAD', signal: AbortSignal.timeout(PROBE_MS) });
    return answer.status < 500;
  } catch {
    return false;
  }
}

/** Puts the wheel's copy of the CLI driver where the package's installer looks for a downloaded one. */
function fromWheel(folder) {
  if (process.platform !== 'linux' || process.arch !== 'x64') return `there is no other way for ${process.platform} on ${process.arch}`;
  const wheels = join(folder, 'wheel');
  const unpacked = join(folder, 'unpacked');
  const archive = join(folder, 'archive');
  for (const each of [wheels, unpacked, archive]) mkdirSync(each);
  const python = ['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311', '--platform', 'manylinux_2_34_x86_64', '--platform', 'manylinux2014_x86_64'];
  const download = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', ...python, '--dest', wheels, `ibm_db==${WHEEL_VERSION}`];
  const failed = run('python3', download);
  if (failed !== null) return failed;
  const wheel = readdirSync(wheels).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) return 'pip brought no wheel';
  const steps = [
    ['python3', ['-m', 'zipfile', '-e', join(wheels, wheel), unpacked]],
    ['tar', ['-C', unpacked, '-czf', join(archive, 'linuxx64_odbc_cli.tar.gz'), 'clidriver', 'ibm_db.libs']],
  ];
  for (const [command, args] of steps) {
    const broken = run(command, args);
    if (broken !== null) return broken;
  }
  return npmInstall(folder, { IBM_DB_INSTALLER_URL: archive });
}

async function build(folder) {
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, name: 'tidemark-db2-driver', version: VERSION }));
  const reasons = [];
  if (await ibmAnswers()) {
    say(`installing ibm_db ${VERSION} with the CLI driver from IBM (about a minute, 150 MB)`);
    const failed = npmInstall(folder, {});
    if (failed === null) return [];
    reasons.push(failed);
    rmSync(join(folder, 'node_modules'), { recursive: true, force: true });
  } else {
    reasons.push("IBM's server does not answer");
  }
  say(`installing ibm_db ${VERSION} with the CLI driver from the wheel on PyPI (about half a minute, 150 MB)`);
  const failed = fromWheel(folder);
  return failed === null ? [] : [...reasons, failed];
}

/** Connectors look in the checkout's packages and in the default cache; any other cache needs a link. */
function link() {
  if (cache === join(homedir(), '.cache', 'tidemark')) return;
  const place = join(checkout, 'node_modules', 'ibm_db');
  if (!existsSync(dirname(place))) return;
  const known = lstatSync(place, { throwIfNoEntry: false });
  if (known !== undefined && !known.isSymbolicLink()) return;
  rmSync(place, { force: true });
  symlinkSync(driverIn(target), place, 'junction');
}

async function main() {
  if (!process.argv.includes('--force') && loads(target) === null) {
    link();
    say('is installed');
    return 0;
  }
  const folder = workFolder('db2-driver');
  try {
    const reasons = await build(folder);
    if (reasons.length > 0) {
      say(`cannot be installed: ${reasons.join('; ')}`);
      say('Db2 sources need it, everything else works without. It wants npm, g++, make, python3 and pip.');
      return 3;
    }
    for (const left of ['wheel', 'unpacked', 'archive']) rmSync(join(folder, left), { recursive: true, force: true });
    putInPlace(folder, target, () => !process.argv.includes('--force') && loads(target) === null);
    link();
    say(`is installed; IBM's licence for its CLI driver is in ${join(driverIn(target), 'installer', 'clidriver', 'license')}`);
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main();
