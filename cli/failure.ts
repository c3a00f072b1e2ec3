/** Any error as what the command line shows and the code it ends with. */
import { basename } from 'node:path';
import { CommanderError } from 'commander';
import { TidemarkError } from '../schemas/errors.ts';

/** `error: unknown option '--jsn'\n(Did you mean --json?)` → sentence and hint. */
function usageError(error: CommanderError): TidemarkError {
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const sentence = `${first.charAt(0).toUpperCase()}${first.slice(1).replace(/\.$/, '')}.`;
  const suggestion = /^\((.*)\)$/.exec(rest.join(' ').trim())?.[1];
  return new TidemarkError('usage.invalid', sentence, { hint: suggestion ?? 'See tidemark --help.' });
}

/** The place of an error that nobody expected, by file and line: its message may quote a value and is not shown. */
function placeOf(error: unknown): string {
  const frame = error instanceof Error ? /([^/\\\s(]+\.[jt]s):(\d+)/.exec(error.stack?.split('\n').find((line) => /^\s+at .*\.[jt]s:\d+/.test(line)) ?? '') : null;
  const name = error instanceof Error ? error.name : 'an error';
  return frame === null ? name : `${name} at ${basename(frame[1] ?? '')}:${frame[2]}`;
}

export function asFailure(error: unknown): TidemarkError {
  if (error instanceof TidemarkError) return error;
  if (error instanceof CommanderError) return usageError(error);
  return new TidemarkError('internal.unexpected', `Something happened that Tidemark does not expect (${placeOf(error)}).`, {
    hint: 'Please report it with the command that was given.', cause: error,
  });
}
