import type { CliContext, Register } from '../context.ts';

const TEMPORAL_PORT = 7233;
const UI_PORT = 8233;

interface UpCommandOptions {
  readonly temporalPort: string;
  readonly uiPort?: string;
}

export const register: Register = (program, context) => {
  program
    .command('up')
    .description('everything on this machine: Temporal, PostgreSQL where none is configured, a worker; stays in the foreground')
    .option('--temporal-port <port>', 'port of the Temporal server', String(TEMPORAL_PORT))
    .option('--ui-port <port>', `port of Temporal's Web UI (default: ${UI_PORT}, or the Temporal port + 1000)`)
    .action(async (options: UpCommandOptions) => {
      const signal = context.signal();
      let bySigint = false;
      process.once('SIGINT', () => (bySigint = true));
      const { startUp } = await import('../../runtime/up.ts');
      const temporalPort = await readPort('--temporal-port', options.temporalPort);
      const uiPort = options.uiPort === undefined ? temporalPort - TEMPORAL_PORT + UI_PORT : await readPort('--ui-port', options.uiPort);
      await requireGivenFile(context, program.opts<{ config?: string }>().config);
      const path = await import('node:path');
      const up = await startUp({
        dataDir: await context.dataDir(),
        configFile: path.resolve(await context.configFile()),
        temporalPort,
        uiPort,
        signal,
        onStep: (step) => void context.output.note(step),
      });
      try {
        const { temporal, ui, namespace } = up;
        const ready = { event: 'ready', temporal, ui, namespace, pid: process.pid };
        await context.output.result(ready, () => JSON.stringify(ready));
        await untilAborted(signal);
      } finally {
        await up.stop();
      }
      // Ending it is what a person does with it: by SIGTERM that is no interruption.
      context.exitWith(bySigint ? 130 : 0);
    });
};

async function readPort(option: string, text: string): Promise<number> {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  const { TidemarkError } = await import('../../schemas/errors.ts');
  throw new TidemarkError('usage.invalid', `${option} takes a port from 1 to 65535.`, { hint: `For example ${option} ${TEMPORAL_PORT}.` });
}

/** Without a file `up` waits for one, but a file that was named must be there. */
async function requireGivenFile(context: CliContext, given: string | undefined): Promise<void> {
  const { existsSync } = await import('node:fs');
  if (given === undefined || existsSync(given)) return;
  const { TidemarkError } = await import('../../schemas/errors.ts');
  throw new TidemarkError('config.file_missing', `There is no file ${await context.configFile()}.`, { hint: 'Write one with tidemark init, or leave out --config.' });
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // The servers are processes of their own; something in this one must keep it alive.
    const alive = setInterval(() => undefined, 60_000);
    const end = (): void => {
      clearInterval(alive);
      resolve();
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}
