#!/usr/bin/env node
/**
 * `npm test [-- PROJECT... PATTERN... JEST OPTIONS]`: installs what the tests need where it can, then runs jest under Node 24.
 * Plain JavaScript for any Node ≥ 18, so that it works on a fresh machine. Projects are the keys in jest.config.js.
 *
 * A test whose server cannot be had is skipped, named and counted; with CI=true that is a failure, opt-in suites aside.
 * TIDEMARK_TEST_INSTALL=0 keeps it from installing packages of the system. TIDEMARK_TEST_SUMMARY=FILE receives
 * `{"passed": n, "failed": n, "skipped": n}`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findServers, which } from '../test/support/find-servers.js';
import { prepare } from './bootstrap/prepare.js';
import { MissingError, runMain } from './bootstrap/report.js';
import { bringTemporal } from './bootstrap/temporal.js';
import { hasTestServer, testServerFolder } from './temporal-test-server-folder.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const PROJECTS = readdirSync(join(root, 'test'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'support')
  .map((entry) => entry.name);
/** What Debian calls the servers; Temporal is no package and comes with the bootstrap. */
const PACKAGES = { postgres: 'postgresql', mariadb: 'mariadb-server' };
const OPT_IN = '[opt-in ';

const say = (line) => process.stderr.write(`${line}\n`);

/** Installs missing servers where this user may. */
function installServers() {
  const found = findServers(root);
  installPackages(Object.keys(PACKAGES).filter((name) => found[name] === null).map((name) => PACKAGES[name]));
}

function installPackages(packages) {
  const may = process.env.TIDEMARK_TEST_INSTALL !== '0' && process.getuid?.() === 0 && which('apt-get') !== null;
  if (packages.length === 0 || !may) return;
  say(`test: installing ${packages.join(', ')} with apt-get, about a minute`);
  // RUNLEVEL=1 keeps the packages from starting their own servers.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const apt = (...args) => spawnSync('apt-get', ['-qq', ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
  if (!apt('update') || !apt('install', '-y', '--no-install-recommends', ...packages)) say('test: apt-get failed; going on without');
}

/** Db2's native driver, and Derby as its server; both go to the cache. What can't be had is skipped like any other server. */
function installDb2() {
  if (findServers(root).db2 !== null || process.env.TIDEMARK_TEST_INSTALL === '0') return;
  const tools = { java: 'default-jre-headless', mvn: 'maven', 'g++': 'g++', make: 'make', pip3: 'python3-pip' };
  installPackages(Object.keys(tools).filter((name) => which(name) === null).map((name) => tools[name]));
  for (const script of ['install-derby.js', 'install-db2.js']) spawnSync(process.execPath, [join(root, 'scripts', script)], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Temporal's server that lets time pass at once; workflow tests that need it are skipped where it can't be had. */
function installTestServer() {
  if (hasTestServer(testServerFolder()) || process.env.TIDEMARK_TEST_INSTALL === '0') return;
  const tools = { java: 'default-jre-headless', mvn: 'maven' };
  installPackages(Object.keys(tools).filter((name) => which(name) === null).map((name) => tools[name]));
  spawnSync(process.execPath, [join(root, 'scripts', 'install-temporal-test-server.js')], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Where Temporal can't be had, its tests are skipped like those of any other server. */
async function provideServers(node) {
  installServers();
  installDb2();
  installTestServer();
  try {
    await bringTemporal(root, node);
  } catch (error) {
    if (!(error instanceof MissingError)) throw error;
    say(error.message);
  }
}

function runJest(node, args, resultsFile) {
  const names = args.filter((arg) => PROJECTS.includes(arg));
  const others = args.filter((arg) => !PROJECTS.includes(arg));
  const select = names.length === 0 ? [] : ['--selectProjects', ...names];
  const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
  const options = ['--json', `--outputFile=${resultsFile}`, ...others, ...select];
  const env = { ...process.env, NODE_ENV: 'test', PATH: `${dirname(node)}:${process.env.PATH ?? ''}` };
  // jest prints its JSON on stdout as well; the readable report goes to stderr.
  return spawnSync(node, ['--disable-warning=ExperimentalWarning', jest, ...options], { cwd: root, env, stdio: ['inherit', 'ignore', 'inherit'] }).status ?? 1;
}

/** Counts, and names of what was skipped because something is missing. */
function summarize(resultsFile) {
  if (!existsSync(resultsFile)) return { passed: 0, failed: 1, missing: [], optional: [] };
  const results = JSON.parse(readFileSync(resultsFile, 'utf8'));
  const pending = results.testResults.flatMap((file) => file.assertionResults).filter(({ status }) => ['pending', 'todo', 'skipped', 'disabled'].includes(status));
  const filtered = process.argv.some((arg) => arg === '-t' || arg.startsWith('--testNamePattern'));
  const names = filtered ? [] : pending.map(({ fullName }) => fullName);
  return {
    passed: results.numPassedTests,
    failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
    missing: names.filter((name) => !name.includes(OPT_IN)),
    optional: names.filter((name) => name.includes(OPT_IN)),
  };
}

function report({ passed, failed, missing, optional }) {
  const strict = process.env.CI === 'true';
  if (optional.length > 0) say(`\n${optional.length} opt-in tests did not run:\n${optional.map((name) => `  ${name}`).join('\n')}`);
  if (missing.length > 0) say(`\n${missing.length} tests SKIPPED${strict ? ', which fails with CI=true' : ''}:\n${missing.map((name) => `  ${name}`).join('\n')}`);
  const counts = { passed, failed: failed + (strict ? missing.length : 0), skipped: missing.length + optional.length };
  say(`\ntest: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  if (process.env.TIDEMARK_TEST_SUMMARY) writeFileSync(process.env.TIDEMARK_TEST_SUMMARY, JSON.stringify(counts));
  return counts;
}

async function main() {
  const args = process.argv.slice(2);
  const onlyUnit = args.includes('unit') && args.every((arg) => arg === 'unit' || !PROJECTS.includes(arg));
  const { node } = await prepare({ temporal: false });
  if (!onlyUnit) await provideServers(node);
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-results-'));
  try {
    const status = runJest(node, args, join(folder, 'results.json'));
    const { failed } = report(summarize(join(folder, 'results.json')));
    process.exitCode = status !== 0 ? status : failed > 0 ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runMain(main);
