import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { TidemarkError } from '../../schemas/errors.ts';

const CLI = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');

export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/**
 * Runs a `tidemark` command with `--json` and returns its document. Throws `run.failed` with the command's own error sentence where it
 * ended with another code than 0 or 1, `up.interrupted` where it was stopped.
 */
export async function tidemark(args: readonly string[], { env, signal }: CommandContext): Promise<Record<string, unknown>> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CLI, ...args, '--json'], {
    env: { ...env, TIDEMARK_LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  try {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    if (signal.aborted) throw new TidemarkError('up.interrupted', 'Interrupted.');
    return understand(args, code, text);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function understand(args: readonly string[], code: number | null, text: string): Record<string, unknown> {
  const document = text.trim() === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  const error = document.error as { message?: string; hint?: string | null } | undefined;
  if (error === undefined && (code === 0 || code === 1)) return document;
  throw new TidemarkError('run.failed', `tidemark ${args.join(' ')} ended with code ${code ?? 'none'}: ${error?.message ?? 'no reason was given.'}`, { hint: error?.hint ?? undefined });
}
