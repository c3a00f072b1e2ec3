import { spawn } from 'node:child_process';
import { processEnv } from '../runtime/environment.ts';

/**
 * Runs a pipe of programs with bash to its end; the first that fails fails the pipe. Addresses and statements are handed over as variables,
 * so that nothing is quoted twice. Returns the seconds it took.
 */
export async function pipe(script: string, variables: Readonly<Record<string, string>>): Promise<number> {
  const began = performance.now();
  const child = spawn('bash', ['-o', 'pipefail', '-ec', script], { env: { ...processEnv(), ...variables }, stdio: ['ignore', 'ignore', 'pipe'] });
  const errors: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`${script} ended with ${code}: ${Buffer.concat(errors).toString().slice(-2000)}`))));
  });
  return (performance.now() - began) / 1000;
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}
