/**
 * References to variables in values of the file: `${NAME}`, `${NAME:-default}`; `$${` stands for a literal `${`.
 * A variable that is set to the empty text counts as not set: an empty password is never used by accident.
 */
import { TidemarkError } from './errors.ts';

export type Variables = Readonly<Record<string, string | undefined>>;

/** A `$${`, a whole reference, or a `${` that is neither. */
const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{/g;

/** `text` is null where something is missing or malformed. `literal`: a reference's default was used, or there is no reference. */
export interface ResolvedText {
  readonly text: string | null;
  readonly referenced: boolean;
  readonly missing: readonly string[];
  readonly malformed: boolean;
}

export function resolveText(written: string, variables: Variables): ResolvedText {
  const missing: string[] = [];
  let referenced = false;
  let malformed = false;
  const text = written.replace(REFERENCE, (whole: string, name: string | undefined, fallback: string | undefined) => {
    if (whole === '$${') return '${';
    if (name === undefined) {
      malformed = true;
      return '';
    }
    referenced = true;
    const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
    if (value !== undefined && value !== '') return value;
    if (fallback === undefined) missing.push(name);
    return fallback ?? '';
  });
  return { text: missing.length > 0 || malformed ? null : text, referenced, missing, malformed };
}

/** Names of the variables that a value needs or may use, each once, in order. */
export function variablesIn(value: unknown): readonly string[] {
  const names = new Set<string>();
  eachText(value, (text) => {
    for (const match of text.matchAll(REFERENCE)) if (match[1] !== undefined) names.add(match[1]);
  });
  return [...names];
}

function eachText(value: unknown, visit: (text: string) => void): void {
  if (typeof value === 'string') visit(value);
  else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) eachText(inner, visit);
}

/**
 * A copy of `value` with all references resolved, at the moment of use. Text that came from a variable stays text:
 * `parseResolved` makes numbers of it where a schema wants them.
 * Throws `config.variable_missing` that names the variable.
 */
export function resolveReferences<T>(value: T, variables: Variables): T;
export function resolveReferences(value: unknown, variables: Variables): unknown {
  if (typeof value === 'string') {
    const resolved = resolveText(value, variables);
    if (resolved.text !== null) return resolved.text;
    const name = resolved.missing[0];
    if (name === undefined) throw new TidemarkError('config.invalid', 'A value holds ${ without a variable\'s name.', { hint: 'Write ${NAME}, or $${ for the text ${.' });
    throw new TidemarkError('config.variable_missing', `The variable ${name} is not set.`, { hint: `Set ${name} in the environment of this process.` });
  }
  if (Array.isArray(value)) return value.map((inner: unknown) => resolveReferences(inner, variables));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolveReferences(inner, variables)]));
}
