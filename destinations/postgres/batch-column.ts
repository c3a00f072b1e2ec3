/**
 * The column of a generation that names each row's batch. Where one part fills the generation all its rows have the same, so they are copied without it:
 * a default that a column is added with stands in PostgreSQL's catalog, not in the rows (its documentation, "ALTER TABLE", Notes).
 */
import { boundedName, quoteIdent, quoteTable, type TableName } from './identifiers.ts';
import type { Session } from './session.ts';
import { BATCH_COLUMN } from './target.ts';

/** The batch that the session copies; each COPY asks once. Swapping removes the default. */
const BATCH_OF_COPY = 'tidemark.batch_of_copy()';

/** Makes `table` an empty copy of `target` without its keys. `inOne`: without the batch's column too, where that is the last one and nothing hangs on it. */
export async function createGeneration(session: Session, table: TableName, target: TableName, inOne: boolean): Promise<void> {
  await session.query(`drop table if exists ${quoteTable(table)}`);
  await createLike(session, table, target);
  if (!inOne || !(await standsAlone(session, table))) return setDefault(session, table);
  // A column that is dropped leaves its place behind, as a NULL in each row; a copy of the table has none.
  const dropped = { schema: table.schema, name: boundedName(`like_${table.name}`) };
  await session.query(`drop table if exists ${quoteTable(dropped)}`);
  await session.query(`alter table ${quoteTable(table)} rename to ${quoteIdent(dropped.name)}`);
  await session.query(`alter table ${quoteTable(dropped)} drop column ${BATCH_COLUMN}`);
  await createLike(session, table, dropped);
  await session.query(`drop table ${quoteTable(dropped)}`);
}

/** Gives the column back to a generation without rows: they will not all be copied by one batch after all. */
export async function expectBatches(session: Session, table: TableName): Promise<void> {
  // Other parts may be copying: their generation has the column, and is not to be locked.
  const { rows } = await session.query('select from pg_attribute where attrelid = $1::regclass and attname = $2', [quoteTable(table), BATCH_COLUMN]);
  if (rows.length > 0) return;
  await session.query(`alter table ${quoteTable(table)} add column ${BATCH_COLUMN} bigint`);
  await setDefault(session, table);
}

/** Names `batch` in the rows of a generation that was filled without the column, and writes none of them; leaves one alone that has the column. */
export async function nameBatch(session: Session, table: TableName, batch: number): Promise<void> {
  await session.query(`alter table ${quoteTable(table)} add column if not exists ${BATCH_COLUMN} bigint default ${batch}`);
}

async function createLike(session: Session, table: TableName, model: TableName): Promise<void> {
  await session.query(`create table ${quoteTable(table)} (like ${quoteTable(model)} including all excluding indexes excluding identity)`);
}

async function setDefault(session: Session, table: TableName): Promise<void> {
  await session.query(`alter table ${quoteTable(table)} alter column ${BATCH_COLUMN} set default ${BATCH_OF_COPY}`);
}

/** The batch's column is the last, and no constraint, generated column or statistic uses it. */
async function standsAlone(session: Session, table: TableName): Promise<boolean> {
  const { rows } = await session.query<{ alone: boolean }>(
    `select not exists (select from pg_attribute later where later.attrelid = a.attrelid and later.attnum > a.attnum)
       and not exists (select from pg_depend d left join pg_attrdef f on d.classid = 'pg_attrdef'::regclass and f.oid = d.objid
         where d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid = a.attnum and f.adnum is distinct from a.attnum) as alone
     from pg_attribute a where a.attrelid = $1::regclass and a.attname = $2`,
    [quoteTable(table), BATCH_COLUMN],
  );
  return rows[0]?.alone ?? false;
}
