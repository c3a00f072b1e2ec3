/**
 * zod's issues as sentences for a person. What was received never stands in one: it may be a password.
 */
import type { z } from 'zod';
import { inheritableKeys, sourceOnlyKeys } from '../../schemas/config.ts';
import type { ErrorMap, Path } from '../../schemas/config-coercion.ts';
import type { ErrorCode } from '../../schemas/errors.ts';
import { nearest } from './nearest.ts';
import { formatPath, showKey } from './problem.ts';

type Issue = z.core.$ZodIssue;

export interface IssueProblem {
  readonly code: ErrorCode;
  readonly path: Path;
  readonly part: 'key' | 'value';
  readonly message: string;
  readonly hint: string | null;
  /** For an unknown key: the known one that was probably meant. */
  readonly meant?: string;
  /** A required key is not there. */
  readonly missing?: true;
}

const MISSING = '\u0000missing';
const EXPECTED: Readonly<Record<string, string>> = {
  string: 'a text', number: 'a number', int: 'a whole number', boolean: 'true or false', array: 'a list', object: 'a group of keys', record: 'a group of keys',
};

function sentenceForType(expected: string, input: unknown): string {
  const wanted = EXPECTED[expected] ?? 'another kind of value';
  if (input === undefined) return MISSING;
  if (input === null) return `There is no value here; Write ${wanted}, or remove the key.`;
  if (expected === 'string' && typeof input !== 'object') return 'This must be a text; Put the value in quotes.';
  if (expected === 'array') return 'This must be a list; Write [a, b], or one line beginning with - for each item.';
  return `This must be ${wanted}; Write ${wanted}.`;
}

function sentenceForSize(issue: { origin: string; minimum?: unknown; maximum?: unknown }): string {
  const least = issue.minimum !== undefined;
  const bound = String(least ? issue.minimum : issue.maximum);
  if (issue.origin === 'string') return least ? 'This text is too short; Write a value.' : `This text is too long; At most ${bound} characters.`;
  if (issue.origin === 'array' || issue.origin === 'set') return least ? `This list is too short; Write at least ${bound}.` : `This list is too long; Write at most ${bound}.`;
  return least ? `This number is too small; Write at least ${bound}.` : `This number is too large; Write at most ${bound}.`;
}

/**
 * Writes the message of every issue whose schema has none of its own. For an unknown key the message lists the known ones, as JSON:
 * they are not part of an issue, and only here the schema is at hand.
 */
export const issueMessages: ErrorMap = (issue) => {
  switch (issue.code) {
    case 'unrecognized_keys': {
      const definition = (issue.inst?._zod.def ?? {}) as { shape?: Record<string, unknown> };
      return JSON.stringify(Object.keys(definition.shape ?? {}));
    }
    case 'invalid_type':
      return sentenceForType(issue.expected, issue.input);
    case 'invalid_value': {
      if (issue.input === undefined) return MISSING;
      const words = issue.values.map(String);
      const near = typeof issue.input === 'string' ? nearest(issue.input, words) : null;
      return `This is none of the known words; Write ${near === null ? `one of ${words.join(', ')}` : `${near} (known are ${words.join(', ')})`}.`;
    }
    case 'too_small':
    case 'too_big':
      return sentenceForSize(issue);
    case 'invalid_union':
      return issue.input === undefined ? MISSING : 'This value has a form that does not belong here; See tidemark schema for the forms.';
    case 'invalid_format':
      return 'This text has a form that does not belong here; See tidemark schema for the form.';
    case 'invalid_key':
      return 'This key can\'t be a name; Write a name without control characters.';
    default:
      return 'This value does not belong here; See tidemark schema.';
  }
};

/** Of a union's branches the one that was meant: the kind of value fits, and less is wrong with it than with any other. */
function meantBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | null {
  const fitting = branches.filter((branch) => !branch.some((issue) => issue.path.length === 0 && issue.code !== 'unrecognized_keys'));
  const [best, second] = [...fitting].sort((a, b) => weight(a) - weight(b));
  if (best === undefined) return null;
  return second === undefined || weight(best) < weight(second) ? best : null;
}

const weight = (branch: readonly Issue[]): number => branch.reduce((sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 1), 0);

function unknownKey(key: string, path: Path, known: readonly string[]): IssueProblem {
  const shown = showKey(key);
  const near = nearest(shown, known);
  const hint = (): string => {
    if (key.includes(':')) return 'Put a space after the colon: key: value.';
    if (near !== null) return `Did you mean ${near}?`;
    if (known.includes('table') && sourceOnlyKeys.includes(key)) return `${key} belongs to the source, not to one of its streams.`;
    if (!known.includes('table') && ['target', 'cursor', 'key', 'table'].includes(key)) return `${key} belongs to a stream: write it below a table: of streams.`;
    if (known.includes('destination') && inheritableKeys.includes(key)) return `Write ${key} below defaults, or in a source or stream.`;
    return known.length === 0 ? 'Remove it.' : `Known keys here are ${known.join(', ')}.`;
  };
  return { code: 'config.unknown_key', path: [...path, key], part: 'key', message: `The key ${JSON.stringify(shown)} is not known here.`, hint: hint(), ...(near === null ? {} : { meant: near }) };
}

function knownKeys(message: string): readonly string[] {
  try {
    return JSON.parse(message) as string[];
  } catch {
    return [];
  }
}

/**
 * All problems that the issues mean; `prefix` is the path of the value that was parsed.
 * A required key that is there misspelt is one problem, not two.
 */
export function problemsOfIssues(issues: readonly Issue[], prefix: Path): readonly IssueProblem[] {
  const problems = eachProblem(issues, prefix);
  const misspelt = new Set(problems.flatMap(({ meant, path }) => (meant === undefined ? [] : [formatPath([...path.slice(0, -1), meant])])));
  return problems.filter(({ missing, path }) => missing !== true || !misspelt.has(formatPath(path)));
}

function eachProblem(issues: readonly Issue[], prefix: Path): readonly IssueProblem[] {
  return issues.flatMap((issue): readonly IssueProblem[] => {
    const path = [...prefix, ...issue.path];
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(key, path, knownKeys(issue.message)));
    if (issue.code === 'invalid_union' && issue.message !== MISSING) {
      const branch = meantBranch(issue.errors);
      if (branch !== null) return eachProblem(branch, path);
    }
    if (issue.message === MISSING) {
      const key = showKey(String(path.at(-1) ?? ''));
      return [{ code: 'config.invalid', path, part: 'value', message: `The key ${JSON.stringify(key)} is missing.`, hint: `Add ${key}: with a value.`, missing: true }];
    }
    const [message, hint] = split(issue.message);
    return [{ code: 'config.invalid', path, part: 'value', message, hint }];
  });
}

/** `This is wrong; Write that.` → its two sentences. */
function split(text: string): readonly [string, string | null] {
  const at = text.indexOf('; ');
  return at < 0 ? [text, null] : [`${text.slice(0, at)}.`, text.slice(at + 2)];
}
