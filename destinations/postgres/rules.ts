/**
 * Transforms and rules, evaluated set by set over the rows of a stage. Expressions and conditions are the operator's own SQL and run with the
 * rights of the destination's role. A row for which one fails is rejected by itself; no value of a row stands in an error.
 */
import { TidemarkError } from '../../schemas/errors.ts';
import { quoteIdent, quoteLiteral, quoteTable, parseTableName, type TableName } from './identifiers.ts';
import type { Session } from './session.ts';
import { REJECT_COLUMN, SUPERSEDED_COLUMN, VALUES_COLUMN, valuesAsText, type Stage } from './stage.ts';

export type { PlannedTransform } from './stage.ts';

export interface PlannedRule {
  /** Hash of the rule as written. */
  readonly version: string;
  /** Target column, or null for a condition over the whole row. */
  readonly column: string | null;
  readonly check: string;
  readonly args: unknown;
  readonly otherwise: 'reject' | 'quarantine' | 'null' | 'stop';
}

/** What rules look at besides the stage: where the rows will go. */
export interface RuleScope {
  readonly into: TableName;
  /** Target names of the key. */
  readonly key: readonly string[];
}

/** Place of a staged row in the queries here. */
export const ROW = '_tidemark_row';
/** Alias of the rows in every query here. */
export const ROWS = 'r';

/** Fills the slots of the stage's transforms. Rows whose expression fails are marked with the code `transform`. */
export async function fillTransforms(session: Session, stage: Stage): Promise<void> {
  const transforms = stage.transforms ?? [];
  if (transforms.length === 0) return;
  const fill = () => {
    const results = transforms.map((each, at) => `(${each.expression}\n) as _tidemark_e${at}`);
    const sets = transforms.map((each, at) => `${quoteIdent(each.slot)} = x._tidemark_e${at}`);
    return session.query(
      `update ${quoteTable(stage.table)} s set ${sets.join(', ')} from (select ${ROW}, ${results.join(', ')} from ${rows(stage, 'raw')} ${ROWS}) x where x.${ROW} = s.ctid`,
    );
  };
  await eachRowByItselfWhereItFails(session, stage, fill, transforms.map((each) => ({
    reason: { column: each.name, code: 'transform' },
    // The assignment itself: a cast would cut what is too long.
    query: `update ${quoteTable(stage.table)} s set ${quoteIdent(each.slot)} = x.e from (select ${ROW}, (${each.expression}\n) as e from ${rows(stage, 'raw')} ${ROWS} where ${ROW} = $1) x where x.${ROW} = s.ctid`,
  })));
}

/**
 * Applies the rules: first those that set a column to NULL, in their order, then all others at once. Rows that break one are marked with column, check and
 * version of each. Throws `batch.rule_broken` where one breaks a rule that stops.
 */
export async function applyRules(session: Session, stage: Stage, rules: readonly PlannedRule[], scope: RuleScope): Promise<void> {
  for (const rule of rules.filter((each) => each.otherwise === 'null')) await emptyColumn(session, stage, rule, scope);
  const marking = rules.filter((each) => each.otherwise !== 'null');
  if (marking.length === 0) return;
  const found = marking.flatMap((rule) => brokenBy(stage, rule, scope).map((where) =>
    `select ${ROW} as id, ${jsonLiteral(reasonOf(rule))} as reason, ${rule.otherwise !== 'reject'} as keep from ${rows(stage, 'result')} ${ROWS} where ${where}`));
  const mark = () => session.query(
    `update ${quoteTable(stage.table)} s set ${REJECT_COLUMN} = m.reasons::text, ${VALUES_COLUMN} = case when m.keep then ${valuesAsText(stage, 's')} else ${valuesAsText(stage, 's', scope.key)} end
     from (select id, jsonb_agg(distinct reason) as reasons, bool_or(keep) as keep from (${found.join('\nunion all\n')}) f group by id) m where m.id = s.ctid`,
  );
  await eachRowByItselfWhereItFails(session, stage, mark, attempts(stage, marking));
  await stopWhereBroken(session, stage, marking);
}

async function emptyColumn(session: Session, stage: Stage, rule: PlannedRule, scope: RuleScope): Promise<void> {
  const column = quoteIdent(stage.transforms?.find((each) => each.name === rule.column)?.slot ?? rule.column ?? '');
  const broken = brokenBy(stage, rule, scope).map((where) => `select ${ROW} as id from ${rows(stage, 'result')} ${ROWS} where ${where}`);
  const empty = () => session.query(`update ${quoteTable(stage.table)} s set ${column} = null from (${broken.join(' union ')}) f where f.id = s.ctid`);
  await eachRowByItselfWhereItFails(session, stage, empty, attempts(stage, [rule]));
}

async function stopWhereBroken(session: Session, stage: Stage, rules: readonly PlannedRule[]): Promise<void> {
  for (const rule of rules.filter((each) => each.otherwise === 'stop')) {
    const { rows: counted } = await session.query<{ n: string }>(
      `select count(*) as n from ${quoteTable(stage.table)} where ${REJECT_COLUMN} is not null and ${REJECT_COLUMN}::jsonb @> ${quoteLiteral(JSON.stringify([{ rule: rule.version }]))}::jsonb`,
    );
    if (Number(counted[0]!.n) === 0) continue;
    const where = rule.column === null ? 'the rule' : `the rule on ${rule.column}`;
    throw new TidemarkError('batch.rule_broken', `${counted[0]!.n} rows break ${where} (${rule.check}), which stops the stream; nothing of the batch was loaded.`, {
      hint: 'Correct the rows at the source, or change the rule and apply; then run tidemark retry.',
    });
  }
}

/** Conditions that are true for a row that breaks the rule; a row that any of them names breaks it. NULL breaks only `not_null`. */
export function brokenBy(stage: Stage, rule: PlannedRule, scope: RuleScope): string[] {
  const column = rule.column === null ? '' : `${ROWS}.${quoteIdent(rule.column)}`;
  const type = rule.column === null ? '' : typeOf(stage, rule.column);
  const literal = (value: unknown) => `cast(${quoteLiteral(String(value))} as ${type})`;
  switch (rule.check) {
    case 'not_null':
      return [`${column} is null`];
    case 'in':
      return [`${column} is not null and ${column} not in (${(rule.args as readonly string[]).map(literal).join(', ')})`];
    case 'range': {
      const { min, max } = rule.args as { min?: string; max?: string };
      return [...(min === undefined ? [] : [`${column} < ${literal(min)}`]), ...(max === undefined ? [] : [`${column} > ${literal(max)}`])];
    }
    case 'matches':
      return [`${column}::text !~ ${quoteLiteral(String(rule.args))}`];
    case 'references': {
      const { table, column: other } = rule.args as { table: string; column: string };
      return [`${column} is not null and not exists (select from ${quoteTable(parseTableName(table))} o where o.${quoteIdent(other)} = ${column})`];
    }
    case 'unique':
      return uniqueBroken(stage, rule.column ?? '', scope);
    default:
      return [`(${String(rule.args)}\n) is false`];
  }
}

/** Of equal values in a batch the row with the first key keeps it; against the target each other key's row has it already, unless this batch changes that row. */
function uniqueBroken(stage: Stage, name: string, { into, key }: RuleScope): string[] {
  const column = quoteIdent(name);
  const order = key.length === 0 ? ROW : [...key.map(quoteIdent), ROW].join(', ');
  const repeated = `${ROWS}.${ROW} in (select u.id from (select ${ROW} as id, row_number() over (partition by ${column} order by ${order}) as n from ${rows(stage, 'result')} i where ${column} is not null) u where u.n > 1)`;
  if (key.length === 0) return [repeated];
  const same = (a: string, b: string) => key.map((each) => `${a}.${quoteIdent(each)} = ${b}.${quoteIdent(each)}`).join(' and ');
  const taken = `exists (select from ${quoteTable(into)} t where t.${column} = ${ROWS}.${column} and not (${same('t', ROWS)})
    and not exists (select from ${rows(stage, 'result')} k where ${same('k', 't')} and k.${column} is distinct from t.${column}))`;
  return [repeated, taken];
}

/**
 * The rows that are not marked, as a subquery with typed columns and `_tidemark_row`. `raw`: as they came; `result`: as they will be loaded.
 */
export function rows(stage: Stage, as: 'raw' | 'result'): string {
  const transforms = as === 'raw' ? [] : (stage.transforms ?? []);
  const raw = stage.columns.filter((column) => !transforms.some((each) => each.name === column.name)).map((column) => {
    const name = quoteIdent(column.name);
    return stage.lenient ? `cast(${name} as ${column.type}) as ${name}` : name;
  });
  const made = transforms.map((each) => `${quoteIdent(each.slot)} as ${quoteIdent(each.name)}`);
  return `(select ctid as ${ROW}, ${[...raw, ...made].join(', ')} from ${quoteTable(stage.table)} where ${REJECT_COLUMN} is null and ${SUPERSEDED_COLUMN} is not true)`;
}

function typeOf(stage: Stage, name: string): string {
  return stage.transforms?.find((each) => each.name === name)?.type ?? stage.columns.find((column) => column.name === name)?.type ?? 'text';
}

function reasonOf(rule: PlannedRule) {
  return { column: rule.column, code: rule.check, rule: rule.version, ...(rule.otherwise === 'reject' ? { otherwise: 'reject' } : {}) };
}

function jsonLiteral(value: unknown): string {
  return `${quoteLiteral(JSON.stringify(value))}::jsonb`;
}

interface Attempt {
  readonly reason: object;
  /** Evaluates one row, whose place is $1. */
  readonly query: string;
}

/** Only an operator's own condition can fail for a row. */
function attempts(stage: Stage, rules: readonly PlannedRule[]): Attempt[] {
  return rules.filter((rule) => rule.check === 'sql').map((rule) => ({
    reason: { ...reasonOf(rule), code: 'sql_failed' },
    query: `select (${String(rule.args)}\n) is false from ${rows(stage, 'result')} ${ROWS} where ${ROW} = $1`,
  }));
}

/** Runs a statement over all rows; where a value makes it fail, finds the rows that do by trying each, marks them, and runs it over the others. */
async function eachRowByItselfWhereItFails(session: Session, stage: Stage, all: () => Promise<unknown>, each: readonly Attempt[]): Promise<void> {
  await session.query('savepoint set_based');
  try {
    await all();
  } catch (error) {
    if (each.length === 0 || !isRowsFault(error)) throw error;
    await session.query('rollback to savepoint set_based');
    for (const { reason, query } of each) {
      await session.query(
        `update ${quoteTable(stage.table)} s set ${REJECT_COLUMN} = $1::jsonb::text, ${VALUES_COLUMN} = ${valuesAsText(stage, 's')} where s.ctid = any ($2::tid[])`,
        [JSON.stringify([reason]), await failingRows(session, stage, query)],
      );
    }
    await all();
  }
  await session.query('release savepoint set_based');
}

async function failingRows(session: Session, stage: Stage, query: string): Promise<string[]> {
  const { rows: failed } = await session.query<{ at: string[] | null }>('select array_agg(f::text) as at from tidemark.failing_rows($1, $2) f', [
    `select ctid from ${quoteTable(stage.table)} where ${REJECT_COLUMN} is null and ${SUPERSEDED_COLUMN} is not true`,
    query,
  ]);
  return failed[0]!.at ?? [];
}

/** Errors that a value causes: data, constraints, and what a function raises by itself. */
function isRowsFault(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' && /^(22|23|P0001)/.test(error.code);
}
