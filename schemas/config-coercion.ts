/**
 * Parsing of values that came from variables. Those are always text; where a schema wants a number or true/false, text that
 * means one becomes one. Works with any schema: what to coerce is read from the issues of a first parse.
 */
import type { z } from 'zod';

export type Path = readonly PropertyKey[];
type Issue = z.core.$ZodIssue;

/** Writes the messages of issues. */
export type ErrorMap = z.core.$ZodErrorMap;

const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, false: false };

/** Issues of nested unions included, paths made absolute. */
function flatten(issues: readonly Issue[], prefix: Path = []): readonly Issue[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path];
    const inner = issue.code === 'invalid_union' ? issue.errors.flatMap((branch) => flatten(branch, path)) : [];
    return [{ ...issue, path }, ...inner];
  });
}

function coerced(value: string, expected: string): number | boolean | null {
  if (expected === 'boolean') return BOOLEANS[value.trim().toLowerCase()] ?? null;
  const numeric = /^\s*-?\d+(\.\d+)?\s*$/.test(value) && (expected === 'number' || expected === 'int');
  return numeric && Number.isFinite(Number(value)) ? Number(value) : null;
}

interface Place {
  readonly holder: Record<PropertyKey, unknown>;
  readonly last: PropertyKey;
}

function placeOf(root: unknown, path: Path): Place | null {
  const last = path.at(-1);
  let holder: unknown = root;
  for (const step of path.slice(0, -1)) holder = isHolder(holder) && Object.hasOwn(holder, step) ? holder[step] : null;
  return last !== undefined && isHolder(holder) && Object.hasOwn(holder, last) ? { holder, last } : null;
}

const isHolder = (value: unknown): value is Record<PropertyKey, unknown> => typeof value === 'object' && value !== null;

/**
 * Parses `data`, in which the texts for which `fromVariable` is true may become numbers and booleans. Changes `data` in place.
 */
export function parseCoercing<T>(
  schema: z.ZodType<T>,
  data: unknown,
  fromVariable: (path: Path) => boolean,
  error?: ErrorMap,
): z.ZodSafeParseResult<T> {
  const params = error === undefined ? {} : { error };
  const first = schema.safeParse(data, params);
  if (first.success) return first;
  let changed = false;
  for (const issue of flatten(first.error.issues)) {
    if (issue.code !== 'invalid_type' || !fromVariable(issue.path)) continue;
    const place = placeOf(data, issue.path);
    const value = place?.holder[place.last];
    const better = typeof value === 'string' ? coerced(value, issue.expected) : null;
    if (place === null || better === null) continue;
    place.holder[place.last] = better;
    changed = true;
  }
  return changed ? schema.safeParse(data, params) : first;
}

/** As {@link parseCoercing} for a value of which any text may have come from a variable, such as a resolved `connection`. */
export function parseResolved<T>(schema: z.ZodType<T>, resolved: unknown): z.ZodSafeParseResult<T> {
  return parseCoercing(schema, structuredClone(resolved), () => true);
}
