import { TidemarkError } from '../../schemas/errors.ts';
import { quoteIdent, quoteTable } from './identifiers.ts';
import { brokenBy, ROW, ROWS, rows, type PlannedRule, type PlannedTransform } from './rules.ts';
import type { Session } from './session.ts';
import { REJECT_COLUMN, SUPERSEDED_COLUMN, VALUES_COLUMN, type Stage } from './stage.ts';

/**
 * Tries transforms and rules on no row at all: finds the types of new columns and whether the SQL stands. Changes nothing. Throws `config.invalid`
 * with the server's word on the text, which knows no row.
 */
export async function reviewChecks(session: Session, stage: Omit<Stage, 'table' | 'lenient'>, rules: readonly PlannedRule[], key: readonly string[]): Promise<PlannedTransform[]> {
  const table = { schema: 'pg_temp', name: `tidemark_checks_${Math.floor(performance.now() * 1000)}` };
  const columns = [...stage.columns.map((column) => `${quoteIdent(column.name)} ${column.type}`), `${REJECT_COLUMN} text`, `${VALUES_COLUMN} text`, `${SUPERSEDED_COLUMN} boolean`];
  await session.query(`create temporary table ${quoteIdent(table.name)} (${columns.join(', ')})`);
  try {
    const transforms: PlannedTransform[] = [];
    for (const each of stage.transforms ?? []) transforms.push(await reviewTransform(session, { columns: stage.columns, table, lenient: false }, each));
    const whole: Stage = { columns: stage.columns, transforms, table, lenient: false };
    for (const rule of rules) {
      const what = rule.column === null ? 'A rule' : `A rule on ${rule.column}`;
      for (const where of brokenBy(whole, rule, { into: table, key: rule.check === 'unique' && transforms.some((made) => made.name === rule.column) ? [] : key })) {
        await explained(session, what, `select ${ROW} from ${rows(whole, 'result')} ${ROWS} where ${where}`);
      }
    }
    return transforms;
  } finally {
    await session.query(`drop table if exists ${quoteTable(table)}`).catch(() => undefined);
  }
}

async function reviewTransform(session: Session, stage: Stage, transform: PlannedTransform): Promise<PlannedTransform> {
  const what = `The transform of ${transform.name}`;
  // In a WHERE no aggregate and no window may stand: one row gives one value.
  await explained(session, what, `select from ${rows(stage, 'raw')} ${ROWS} where (${transform.expression}\n) is null`);
  const probe = quoteIdent(`${stage.table.name}_${transform.slot}`);
  await session.query(`create temporary table ${probe} as select (${transform.expression}\n) as c from ${rows(stage, 'raw')} ${ROWS} with no data`);
  const { rows: types } = await session.query<{ type: string }>("select format_type(atttypid, atttypmod) as type from pg_attribute where attrelid = $1::regclass and attname = 'c'", [probe]);
  await session.query(`drop table ${probe}`);
  const type = transform.type ?? types[0]!.type;
  await session.query(`alter table ${quoteTable(stage.table)} add column ${quoteIdent(transform.slot)} ${type}`);
  await explained(session, what, `update ${quoteTable(stage.table)} s set ${quoteIdent(transform.slot)} = x.e from (select ${ROW}, (${transform.expression}\n) as e from ${rows(stage, 'raw')} ${ROWS}) x where x.${ROW} = s.ctid`);
  return { ...transform, type };
}

/** Lets the server read one statement, and only one: the extended protocol refuses several. */
async function explained(session: Session, what: string, text: string): Promise<void> {
  try {
    await session.query({ text: `explain ${text}`, queryMode: 'extended' } as { text: string });
  } catch (error) {
    const server = error as { code?: string; message?: string };
    if (!/^(42|22|0A|21)/.test(server.code ?? '')) throw error;
    throw new TidemarkError('config.invalid', `${what} is no SQL that the destination can run: ${server.message ?? server.code}.`, { hint: 'Expressions name the columns of the target; text stands in single quotes.' });
  }
}
