/** What every error owes its reader, whatever went wrong. */
import type { CommandResult, ErrorInfo } from '../support/tidemark.ts';

/** Unknown without a question to a name service: one that is slow for a moment would make it a host that can't be reached. */
export const NO_HOST = 'no-such-host..invalid';

/** The error of a command: its own, or that of its only stream. */
export function errorOf({ json, code, stdout, stderr }: CommandResult): ErrorInfo {
  const error = json?.error ?? json?.streams?.[0]?.error ?? json?.results?.[0]?.error;
  if (error === undefined || error === null) throw new Error(`no error in what ended with ${code}:\n${stdout.slice(0, 3000)}\n${stderr.slice(-1500)}`);
  return error;
}

/** One clear sentence and a hint, no secret, no stack, nothing of a driver's. */
export function expectClear(error: ErrorInfo, secrets: readonly string[]): void {
  expect(error.message).toMatch(/^\S[^\n]{9,300}$/);
  expect(error.message).toMatch(/[.!?]$/);
  expect(error.message).not.toMatch(/\b(ECONN|ENOTFOUND|SQLSTATE|ER_[A-Z]+|TypeError|undefined|\[object)/);
  expect(error.hint ?? '').toMatch(/\S \S/);
  for (const secret of secrets) expect(JSON.stringify(error)).not.toContain(secret);
}

/** Neither stream of a command shows a secret or a stack. */
export function expectQuiet({ stdout, stderr }: CommandResult, secrets: readonly string[]): void {
  for (const secret of secrets) expect(stdout + stderr).not.toContain(secret);
  expect(stdout).not.toMatch(/\n\s+at .*[:(]\d+/);
}
