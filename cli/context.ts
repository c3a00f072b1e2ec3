/** What every command gets beside its own arguments. */
import type { Command } from 'commander';
import type { ExitCode } from '../schemas/errors.ts';
import type { Variables } from '../schemas/config-references.ts';
import type { Interruption } from './interruption.ts';
import type { Output } from './output.ts';

export interface GlobalOptions {
  readonly config?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
}

export interface CliContext {
  readonly output: Output;
  /** Variables for `${NAME}` references. */
  readonly env: Variables;
  readonly version: string;
  /** `--config`, else `TIDEMARK_CONFIG`, else `tidemark.yaml`; as written. */
  configFile(): Promise<string>;
  /** `--data-dir`, else `TIDEMARK_DATA_DIR`, else `.tidemark` here; absolute. */
  dataDir(): Promise<string>;
  /** Aborts at Ctrl-C or SIGTERM. Asking for it is a promise to end soon after; the exit code is then 130, or that of {@link exitWith}. */
  signal(): AbortSignal;
  /** For a command that ran, printed its result, and found that something failed or differed. */
  exitWith(code: 0 | ExitCode): void;
}

/**
 * A file of `cli/commands/`, named like its command, exports this as `register`. It declares one command; what is heavy is imported
 * within the action, since `--help` loads all of these files.
 */
export type Register = (program: Command, context: CliContext) => void;

export interface ContextParts {
  readonly output: Output;
  readonly env: Variables;
  readonly version: string;
  readonly interruption: Interruption;
  readonly options: () => GlobalOptions;
  readonly exitWith: (code: 0 | ExitCode) => void;
}

export function createContext({ output, env, version, interruption, options, exitWith }: ContextParts): CliContext {
  return {
    output,
    env,
    version,
    async configFile() {
      const { parseEnvironment } = await import('../runtime/environment.ts');
      return options().config ?? parseEnvironment(env).TIDEMARK_CONFIG;
    },
    async dataDir() {
      const { dataDirectory } = await import('../runtime/environment.ts');
      return dataDirectory(options().dataDir);
    },
    signal: () => interruption.signal(),
    exitWith,
  };
}
