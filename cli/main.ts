/** Entry of the command line. Nothing heavy is imported before the compile cache is on. */
import { enableCompileCache } from 'node:module';

enableCompileCache();

// A reader that has seen enough (`| head`) ends the command quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

// Names are looked up on threads, four by default: one slow name service would hold up every other lookup. Set before the first of them starts.
// eslint-disable-next-line no-restricted-properties -- it is the C library of Node that reads it
process.env['UV_THREADPOOL_SIZE'] ??= '32';

const { runCli } = await import('./run.ts');
const { processEnv } = await import('../runtime/environment.ts');

process.exit(await runCli({ args: process.argv.slice(2), env: processEnv(), stdout: process.stdout, stderr: process.stderr }));
