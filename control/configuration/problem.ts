/** What is wrong with a configuration file: where, what, and what to write instead. */
import { TidemarkError, type ErrorCode, type ErrorInfo } from '../../schemas/errors.ts';

/** A place in the file and a sentence about it. Lines and columns count from 1. No text in it holds a value of the file. */
export interface Remark {
  readonly message: string;
  readonly hint: string | null;
  /** `sources[3].connection.host`; empty for the file as a whole. */
  readonly path: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Problem extends Remark {
  readonly code: ErrorCode;
}

export interface ConfigurationErrorInfo extends ErrorInfo {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly problems: readonly Problem[];
}

/** All problems of a file, in the order of the file. As an error it is its first problem. */
export class ConfigurationError extends TidemarkError {
  readonly problems: readonly Problem[];
  readonly first: Problem;

  constructor(first: Problem, others: readonly Problem[] = []) {
    const sorted = [first, ...others].sort((a, b) => a.line - b.line || a.column - b.column);
    const lead = sorted[0] ?? first;
    super(lead.code, lead.message, { ...(lead.path === '' ? {} : { path: lead.path }), ...(lead.hint === null ? {} : { hint: lead.hint }) });
    this.name = 'ConfigurationError';
    this.problems = sorted;
    this.first = lead;
  }

  override info(): ConfigurationErrorInfo {
    const { file, line, column } = this.first;
    return { ...super.info(), file, line, column, problems: this.problems };
  }
}

/** `sources[3].mask["a b"]`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path
    .map((step) => {
      if (typeof step === 'number') return `[${step}]`;
      const name = showKey(String(step));
      return /^[A-Za-z_*][\w-]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
    })
    .join('')
    .replace(/^\./, '');
}

/**
 * A key as it may be shown. What follows a colon is left out: in `{ password:secret }` YAML sees one key, and it is the secret.
 */
export function showKey(key: string): string {
  const name = key.split(':')[0] ?? '';
  return name.length > 64 ? `${name.slice(0, 61)}...` : name;
}
