/** `${NAME}` in the values of a file: a second tree with the variables' values in it, beside the tree as written. */
import { resolveText, type Variables } from '../../schemas/config-references.ts';
import type { Path } from '../../schemas/config-coercion.ts';
import type { ErrorCode } from '../../schemas/errors.ts';

/** Values in a file after its aliases are expanded. */
export const VALUES_MAX = 5_000_000;

export interface SubstitutionProblem {
  readonly code: ErrorCode;
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
}

export interface Substitution {
  /** A deep copy of the data. A value whose variable is missing stays as written. */
  readonly data: unknown;
  readonly problems: readonly SubstitutionProblem[];
  /** True if the text at `path` came, in whole or in part, from a variable or a reference's default. */
  fromVariable(path: Path): boolean;
  /** True if the text at `path` could not be resolved: nothing can be said about it. */
  unresolved(path: Path): boolean;
}

const idOf = (path: Path): string => path.map(String).join('\u0000');

class TooManyValues extends Error {}

/**
 * `mayBeMissing` says where a missing variable is no problem.
 * Returns null for a file whose aliases expand to more than {@link VALUES_MAX} values.
 */
export function substitute(data: unknown, variables: Variables, mayBeMissing: (path: Path) => boolean): Substitution | null {
  const problems: SubstitutionProblem[] = [];
  const referenced = new Set<string>();
  const unresolved = new Set<string>();
  let values = 0;

  const text = (written: string, path: Path): string => {
    if (!written.includes('${')) return written;
    const resolved = resolveText(written, variables);
    if (resolved.referenced) referenced.add(idOf(path));
    if (resolved.text !== null) return resolved.text;
    unresolved.add(idOf(path));
    if (resolved.malformed) {
      problems.push({ code: 'config.invalid', path, message: 'A ${ here is not a reference to a variable.', hint: 'Write ${NAME} or ${NAME:-default}, or $${ for the text ${.' });
    }
    for (const name of mayBeMissing(path) ? [] : resolved.missing) {
      problems.push({ code: 'config.variable_missing', path, message: `The variable ${name} is not set, or is empty.`, hint: `Set ${name} in the environment that Tidemark runs in.` });
    }
    return written;
  };
  const copy = (value: unknown, path: Path): unknown => {
    if (++values > VALUES_MAX) throw new TooManyValues();
    if (typeof value === 'string') return text(value, path);
    if (Array.isArray(value)) return value.map((inner, index) => copy(inner, [...path, index]));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copy(inner, [...path, key])]));
  };

  try {
    const copied = copy(data, []);
    return { data: copied, problems, fromVariable: (path) => referenced.has(idOf(path)), unresolved: (path) => unresolved.has(idOf(path)) };
  } catch (error) {
    if (error instanceof TooManyValues || error instanceof RangeError) return null;
    throw error;
  }
}
