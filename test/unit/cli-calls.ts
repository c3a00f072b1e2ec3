/** Calls of the command line in tests: within this process, or as a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { runCli } from '../../cli/run.ts';
import type { Sink } from '../../cli/output.ts';

export const ROOT = join(import.meta.dirname, '..', '..');
const MAIN = join(ROOT, 'cli', 'main.ts');

export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

class Collector extends Writable {
  text = '';
  readonly isTTY: boolean;

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

export async function call(args: readonly string[], env: Readonly<Record<string, string>> = {}, terminal = false): Promise<Said> {
  const stdout: Sink & Collector = new Collector(terminal);
  const stderr: Sink & Collector = new Collector(terminal);
  const code = await runCli({ args, env, stdout, stderr });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Said & { readonly signal: NodeJS.Signals | null }>;
}

export function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Started {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { PATH: '/usr/bin:/bin', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<Said & { signal: NodeJS.Signals | null }>((resolve) => child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr })));
  return { child, ended };
}

export const scratch = (): string => mkdtempSync(join(tmpdir(), 'tidemark-cli-'));
