/** Rules and transforms of a stream as its plan keeps them: columns by their target names, each rule with its version. */
import { createHash } from 'node:crypto';
import type { PlannedRule, PlannedTransform } from '../../destinations/postgres/rules.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Rule, StreamSettings } from '../../schemas/settings.ts';
import type { Column } from '../../schemas/table.ts';
import { nearestName } from '../nearest-name.ts';

const VERSION_DIGITS = 12;

export interface CheckScope {
  readonly stream: StreamSettings;
  /** Columns that are read, as the target will have them. */
  readonly columns: readonly Column[];
  readonly foldsToUpper: boolean;
  /** Target names of the key. */
  readonly key: readonly string[];
}

/** The type of a new column is found at the destination, which knows what an expression gives. Throws `config.invalid` for a transform of the key. */
export function planTransforms({ stream, columns, key }: CheckScope): PlannedTransform[] {
  return Object.entries(stream.transforms).map(([name, expression], at) => {
    if (key.includes(name)) {
      throw new TidemarkError('config.invalid', `The transform of ${name} in stream ${stream.name} would change its key.`, { hint: 'Give the new value a column of its own.' });
    }
    return { name, expression, slot: `_tidemark_t${at}`, type: columns.find((column) => column.targetName === name)?.pgType ?? null };
  });
}

/** Throws `source.column_missing` for a rule on an unknown column, `config.invalid` for one that would empty the key. */
export function planRules(scope: CheckScope): PlannedRule[] {
  return scope.stream.rules.map((rule) => {
    const column = rule.column === null ? null : findTarget(scope, rule.column);
    if (rule.otherwise === 'null' && column !== null && scope.key.includes(column)) {
      throw new TidemarkError('config.invalid', `A rule of stream ${scope.stream.name} would set the key column ${column} to NULL.`, { hint: 'Write otherwise: quarantine.' });
    }
    return { version: versionOf(rule), column, check: rule.check, args: rule.args, otherwise: rule.otherwise };
  });
}

/** Same version: the same rule. Stored with each row that broke it. */
export function versionOf(rule: Rule): string {
  return createHash('sha256').update(JSON.stringify([rule.column, rule.check, rule.args, rule.otherwise])).digest('hex').slice(0, VERSION_DIGITS);
}

function findTarget({ stream, columns, foldsToUpper }: CheckScope, name: string): string {
  if (Object.hasOwn(stream.transforms, name)) return name;
  const found =
    columns.find((column) => column.name === name) ??
    columns.find((column) => column.targetName === name) ??
    (foldsToUpper ? columns.find((column) => column.name === name.toUpperCase()) : undefined);
  if (found !== undefined) return found.targetName;
  const near = nearestName(name, [...columns.map((column) => column.name), ...Object.keys(stream.transforms)]);
  throw new TidemarkError('source.column_missing', `A rule of stream ${stream.name} names the column ${name}, which it does not have.`, { hint: near === null ? 'It may be excluded, dropped or renamed.' : `The nearest column is ${near}.` });
}
