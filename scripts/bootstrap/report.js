/** What the bootstrap says, one line a step, on stderr: stdout belongs to the program that follows. */
import { openSync, writeSync } from 'node:fs';

let terminal;

/** npm swallows what an install script prints, and minutes of silence look like a hang: such lines go to the terminal itself. */
function terminalBehindNpm() {
  if (terminal === undefined) {
    terminal = null;
    if (process.env.npm_lifecycle_event === 'postinstall' && !process.stderr.isTTY && !process.env.CI) {
      try {
        terminal = openSync('/dev/tty', 'w');
      } catch {
        // No terminal: nobody waits.
      }
    }
  }
  return terminal;
}

export function say(line) {
  process.stderr.write(`tidemark: ${line}\n`);
  const tty = terminalBehindNpm();
  if (tty !== null) writeSync(tty, `tidemark: ${line}\n`);
}

/** Something that Tidemark needs is not there and can't be brought: ends the program with code 3. */
export class MissingError extends Error {
  constructor(message, ways) {
    super([message, ...ways.map((way) => `  - ${way}`)].join('\n'));
    this.name = 'MissingError';
  }
}

/** Runs a program's main function; a MissingError becomes its message and exit code 3. */
export async function runMain(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof MissingError)) throw error;
    say(error.message);
    process.exitCode = 3;
  }
}
