import { spawn } from 'node:child_process';
import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** Full path of a program on PATH, or null. */
export function which(name) {
  const names = process.platform === 'win32' ? [`${name}.exe`, `${name}.cmd`] : [name];
  for (const folder of (process.env.PATH ?? '').split(delimiter).filter(Boolean)) {
    for (const candidate of names.map((file) => join(folder, file))) {
      try {
        accessSync(candidate, constants.X_OK);
        if (statSync(candidate).isFile()) return candidate;
      } catch {
        // Not here.
      }
    }
  }
  return null;
}

/**
 * Runs a program to its end; resolves with its exit code, null if it could not be started or took longer than `timeoutMs`.
 * Output goes to stderr, or nowhere with `quiet`.
 */
export function run(file, args, { cwd, env, timeoutMs, quiet = false } = {}) {
  return new Promise((resolve) => {
    const output = quiet ? 'ignore' : process.stderr;
    const child = spawn(file, args, { cwd, env: env ?? process.env, stdio: ['ignore', output, output] });
    const timer = timeoutMs ? setTimeout(() => child.kill('SIGKILL'), timeoutMs) : undefined;
    child.once('error', () => {
      clearTimeout(timer);
      resolve(null);
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
  });
}

/** The npm that runs us, else the one on PATH, as [program, first arguments]; null if there is none. */
function npmCommand() {
  const running = process.env.npm_execpath;
  if (running?.endsWith('npm-cli.js')) return [process.execPath, [running]];
  const onPath = which('npm');
  if (onPath === null) return null;
  const script = realpathSync(onPath);
  return script.endsWith('.js') ? [process.execPath, [script]] : [onPath, []];
}

/** Settings of an outer npm that would make an inner one do something else than it is asked. */
const OUTER_ONLY = /^npm_(lifecycle|package|config_(local_prefix|prefix|global|location|omit|include|only|production|workspace|dry_run|package_lock|save|ignore_scripts))/i;

/** Runs npm under this Node; install scripts find `node` (null: this one) first on PATH. Resolves like {@link run}. */
export async function npm(args, { cwd, node, env = {}, quiet }) {
  const command = npmCommand();
  if (command === null) return null;
  const kept = Object.entries(process.env).filter(([name]) => !OUTER_ONLY.test(name));
  const path = [dirname(node ?? process.execPath), process.env.PATH ?? ''].join(delimiter);
  const [file, first] = command;
  return run(file, [...first, ...args, '--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'], { cwd, quiet, env: { ...Object.fromEntries(kept), PATH: path, ...env } });
}
