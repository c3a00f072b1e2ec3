/** Entry of the command line. Nothing heavy is imported before the compile cache is on. */
import { enableCompileCache } from 'node:module';

enableCompileCache();

// A reader that has seen enough (`| head`) ends the command quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const { runCli } = await import('./run.ts');
const { processEnv } = await import('../runtime/environment.ts');

process.exit(await runCli({ args: process.argv.slice(2), env: processEnv(), stdout: process.stdout, stderr: process.stderr }));
