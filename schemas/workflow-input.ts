/**
 * Strict schemas of the JSON objects that start workflows. A workflow keeps the modules that it imports for itself as long as it is cached, and
 * zod is 0.7 MiB and 8 ms of CPU for each of them (docs/performance.md): what a window of polls would cost a fleet. So these few fields are
 * checked by plain functions. The answers have zod's shapes.
 */

/** One field: `expects` completes the sentence "expected …". A field without `otherwise` must be given. */
export interface Field<T> {
  readonly expects: string;
  readonly accepts: (value: unknown) => value is T;
  readonly otherwise?: T;
}

interface Optional<T> extends Field<T> {
  readonly otherwise: T;
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type ValueOf<F> = F extends Field<infer T> ? T : never;
type OptionalKeys<F extends Fields> = { [K in keyof F]: F[K] extends Optional<unknown> ? K : never }[keyof F];

/** What the workflow works with: every field has a value. */
export type Parsed<F extends Fields> = { [K in keyof F]: ValueOf<F[K]> };
/** What a caller gives. */
export type Given<F extends Fields> = { [K in Exclude<keyof F, OptionalKeys<F>>]: ValueOf<F[K]> } & { [K in OptionalKeys<F>]?: ValueOf<F[K]> | undefined };

export interface InputIssue {
  readonly path: readonly string[];
  readonly message: string;
}

export type InputResult<F extends Fields> = { readonly success: true; readonly data: Parsed<F> } | { readonly success: false; readonly error: { readonly issues: readonly InputIssue[] } };

export class InputSchema<F extends Fields> {
  readonly #fields: F;

  constructor(fields: F) {
    this.#fields = fields;
  }

  safeParse(input: unknown): InputResult<F> {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) return { success: false, error: { issues: [{ path: [], message: 'expected an object' }] } };
    const given = new Map<string, unknown>(Object.entries(input));
    const issues: InputIssue[] = [...given.keys()].filter((name) => !Object.hasOwn(this.#fields, name)).map((name) => ({ path: [], message: `there is no field "${name}"` }));
    const data: Record<string, unknown> = {};
    for (const [name, field] of Object.entries(this.#fields)) {
      const value = given.get(name) ?? (given.get(name) === undefined ? field.otherwise : null);
      if (field.accepts(value)) data[name] = value;
      else issues.push({ path: [name], message: `expected ${field.expects}` });
    }
    // Each field of F has been accepted by its own check above.
    return issues.length > 0 ? { success: false, error: { issues } } : { success: true, data: data as Parsed<F> };
  }

  /** Throws where the input is not understood. */
  parse(input: Given<F>): Parsed<F> {
    const result = this.safeParse(input);
    if (result.success) return result.data;
    throw new Error(result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
  }
}

export function optional<T>(field: Field<T>, otherwise: T): Optional<T> {
  return { ...field, otherwise };
}

export function orNull<T>(field: Field<T>): Optional<T | null> {
  return { expects: `${field.expects}, or null`, accepts: (value): value is T | null => value === null || field.accepts(value), otherwise: null };
}

export const text: Field<string> = { expects: 'a text that is not empty', accepts: (value): value is string => typeof value === 'string' && value !== '' };
export const flag: Field<boolean> = { expects: 'a boolean, true or false', accepts: (value): value is boolean => typeof value === 'boolean' };
export const texts: Field<string[]> = { expects: 'a list of texts that are not empty', accepts: (value): value is string[] => Array.isArray(value) && value.every(text.accepts) };

export function oneOf<const T extends string>(...words: readonly T[]): Field<T> {
  return { expects: `one of ${words.join(', ')}`, accepts: (value): value is T => words.some((word) => word === value) };
}

export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): Field<number> {
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  return { expects: `a whole number ${range}`, accepts: (value): value is number => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most };
}
