/** One call of the command line, from its arguments to its exit code. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { TidemarkError, type ExitCode } from '../schemas/errors.ts';
import type { Variables } from '../schemas/config-references.ts';
import { loadCommands } from './command-files.ts';
import { createContext, type CliContext, type GlobalOptions } from './context.ts';
import { asFailure } from './failure.ts';
import { watchInterruption, type Interruption } from './interruption.ts';
import { createOutput, type Output, type Sink } from './output.ts';

export interface CliCall {
  /** Without the names of the runtime and the script. */
  readonly args: readonly string[];
  readonly env: Variables;
  readonly stdout: Sink;
  readonly stderr: Sink;
}

/** What commander prints by itself: help and version. */
interface Printed {
  text: string;
}

async function readVersion(): Promise<string> {
  const manifest = JSON.parse(await readFile(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string };
  return manifest.version;
}

function createProgram(version: string, printed: Printed): Command {
  const keep = (text: string): void => {
    printed.text += text;
  };
  return new Command('tidemark')
    .description('Moves rows from a bank\'s systems into PostgreSQL, and can prove that none was lost.')
    .option('-c, --config <file>', 'the configuration file (default: TIDEMARK_CONFIG, or tidemark.yaml)')
    .option('--json', 'one JSON document on stdout, logs on stderr')
    .option('--data-dir <dir>', 'where `up` keeps its data (default: TIDEMARK_DATA_DIR, or .tidemark)')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: keep, writeErr: keep, outputError: () => undefined })
    .showSuggestionAfterError(true)
    .exitOverride();
}

/** Help and version end in an error of commander's: exit code 0 where they were asked for. */
async function finish(error: unknown, printed: Printed, output: Output): Promise<0 | ExitCode> {
  if (error instanceof CommanderError && error.exitCode === 0) {
    const text = printed.text.trimEnd();
    await output.result(error.code === 'commander.version' ? { ok: true, version: text } : { ok: true, help: text }, () => text);
    return 0;
  }
  if (error instanceof CommanderError && error.code === 'commander.help' && !output.json) {
    await output.note(printed.text.trimEnd());
    return 2;
  }
  const failure = error instanceof CommanderError && error.code === 'commander.help'
    ? new TidemarkError('usage.invalid', 'No command is given.', { hint: 'See tidemark --help.' })
    : asFailure(error);
  await output.failure(failure.info());
  return failure.exit;
}

/** The last of two values would win, and nobody would hear of the first. Global options keep to that: a script's own may be overruled. */
function refuseRepeated(command: Command): void {
  for (const option of command.options) {
    if (!option.required || option.variadic) continue;
    let given = false;
    command.on(`option:${option.name()}`, () => {
      if (given) throw new TidemarkError('usage.invalid', `The option ${option.long ?? option.flags} is given twice.`, { hint: 'It takes one value: run the command once for each.' });
      given = true;
    });
  }
}

async function runCommand(program: Command, args: readonly string[], context: CliContext): Promise<void> {
  for (const register of await loadCommands(args)) register(program, context);
  for (const command of program.commands) [command, ...command.commands].forEach(refuseRepeated);
  await program.parseAsync([...args], { from: 'user' });
}

/** Arguments after `--` are no options. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end < 0 ? args : args.slice(0, end)).includes('--json');
}

const INTERRUPTED = new TidemarkError('batch.cancelled', 'The command was interrupted.', { hint: 'What was committed stays; the next run goes on from there.' });

async function settle(work: Promise<void>, interruption: Interruption): Promise<'ended' | 'given up'> {
  return Promise.race([work.then(() => 'ended' as const), interruption.givenUp.then(() => 'given up' as const)]);
}

/** Resolves with the exit code once all output has left. Never rejects. */
export async function runCli({ args, env, stdout, stderr }: CliCall): Promise<0 | ExitCode> {
  const plain = (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb';
  const output = createOutput({ stdout, stderr, json: wantsJson(args), plain });
  const interruption = watchInterruption();
  const printed: Printed = { text: '' };
  let asked: 0 | ExitCode | null = null;
  try {
    const version = await readVersion();
    const program = createProgram(version, printed);
    const exitWith = (code: 0 | ExitCode): void => {
      asked = code;
    };
    const options = (): GlobalOptions => program.opts<GlobalOptions>();
    const context = createContext({ output, env, version, interruption, options, exitWith });
    const outcome = await settle(runCommand(program, args, context), interruption);
    const code = outcome === 'given up' ? 130 : (asked ?? (interruption.happened ? 130 : 0));
    // Who asked for a document gets one, whatever the end.
    if (code === 130 && output.json && !output.answered) await output.failure(INTERRUPTED.info());
    return code;
  } catch (error) {
    const code = await finish(error, printed, output);
    return interruption.happened ? 130 : code;
  } finally {
    interruption.release();
  }
}
