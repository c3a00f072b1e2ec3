import { createHash } from 'node:crypto';
import type { Session } from './session.ts';
import { quoteIdent, quoteLiteral, quoteTable, type TableName } from './identifiers.ts';
import type { TypedColumn } from './target.ts';

/** JSON list of what a row breaks, or NULL for a good one. */
export const REJECT_COLUMN = '_tidemark_reject';
/** JSON object of a rejected row's values as text. */
export const VALUES_COLUMN = '_tidemark_values';
/** True for a row that a newer version of its key in the same batch replaces. */
export const SUPERSEDED_COLUMN = '_tidemark_superseded';

export interface PlannedTransform {
  /** Target column. */
  readonly name: string;
  /** SQL over the stage's columns. */
  readonly expression: string;
  /** Column of the stage that holds the result. */
  readonly slot: string;
  /** Type of the target column; null until the destination has said what the expression gives. */
  readonly type: string | null;
}

export interface Stage {
  readonly table: TableName;
  readonly columns: readonly TypedColumn[];
  /** Every column is text: a batch that failed as a whole is taken apart row by row. */
  readonly lenient: boolean;
  /** Each has a column of its own beside those that are copied in. */
  readonly transforms?: readonly PlannedTransform[];
  /** Columns of the target that every row gets NULL in. */
  readonly nulls?: readonly TypedColumn[];
}

/** A target column and the SQL over the stage (as `s`) that gives its value. */
export interface LoadedColumn {
  readonly name: string;
  readonly sql: string;
}

/** What goes into the target: the stage's columns, transformed ones replaced, new ones after them. */
export function loadedColumns(stage: Stage): LoadedColumn[] {
  const made = (stage.transforms ?? []).map((each) => ({ name: each.name, sql: `s.${quoteIdent(each.slot)}` }));
  const raw = stage.columns.map((column) => ({ name: column.name, sql: stage.lenient ? `cast(s.${quoteIdent(column.name)} as ${column.type})` : `s.${quoteIdent(column.name)}` }));
  const replaced = raw.map((column) => made.find((each) => each.name === column.name) ?? column);
  const nulls = (stage.nulls ?? []).map((column) => ({ name: column.name, sql: `null::${column.type}` }));
  return [...replaced, ...made.filter((each) => !raw.some((column) => column.name === each.name)), ...nulls];
}

/** A staged row (by its alias) as a JSON object of texts that its types read back exactly; `only`: of these columns. */
export function valuesAsText(stage: Stage, alias: string, only: readonly string[] | null = null): string {
  const columns = stage.columns.filter((column) => only === null || only.includes(column.name));
  return `jsonb_object(array[${columns.map((column) => quoteLiteral(column.name)).join(', ')}]::text[], array[${columns.map((column) => `${alias}.${quoteIdent(column.name)}::text`).join(', ')}]::text[])::text`;
}

/** One stage for each stream is reused by its batches; parts that need one have their own, so that they can run side by side. */
export function stageName(source: string, stream: string, part: string | null): TableName {
  const hash = createHash('sha256').update(`${source}\n${stream}`).digest('hex').slice(0, 20);
  return { schema: 'tidemark_stage', name: part === null ? `s_${hash}` : `s_${hash}_${part}` };
}

/** Makes the stage empty, of the right shape and the batch's own, inside the caller's transaction. */
export async function prepareStage(session: Session, stage: Stage, batch: number): Promise<void> {
  const type = (column: TypedColumn) => (stage.lenient ? 'text' : column.type);
  const shape = createHash('sha256').update(JSON.stringify([...stage.columns.map((c) => [c.name, type(c)]), ...(stage.transforms ?? []).map((each) => [each.slot, each.type])])).digest('hex');
  const { rows } = await session.query<{ label: string | null }>("select obj_description(to_regclass($1), 'pg_class') as label", [quoteTable(stage.table)]);
  if (rows[0]?.label?.startsWith(`${shape} `)) {
    await session.query(`truncate ${quoteTable(stage.table)}`);
  } else {
    const columns = stage.columns.map((column) => `${quoteIdent(column.name)} ${type(column)}`);
    columns.push(...(stage.transforms ?? []).map((each) => `${quoteIdent(each.slot)} ${each.type ?? 'text'}`), `${REJECT_COLUMN} text`, `${VALUES_COLUMN} text`, `${SUPERSEDED_COLUMN} boolean`);
    await session.query(`drop table if exists ${quoteTable(stage.table)}`);
    await session.query(`create unlogged table ${quoteTable(stage.table)} (${columns.join(', ')}) with (autovacuum_enabled = false)`);
  }
  await session.query(`comment on table ${quoteTable(stage.table)} is ${quoteLiteral(`${shape} ${batch}`)}`);
}

export interface CopyOptions {
  /** Rows have the two fields of a marked row, too. */
  readonly marked: boolean;
  /**
   * The table was made or truncated in this transaction. Its rows are written as frozen: whoever reads them first, and VACUUM, need not
   * write their pages again.
   */
  readonly fresh: boolean;
}

/** Text of the COPY that fills `table`'s columns. */
export function copyInSql(table: TableName, columns: readonly string[], format: 'copy-text' | 'copy-binary', { marked, fresh }: CopyOptions): string {
  const names = columns.map(quoteIdent);
  if (marked) names.push(REJECT_COLUMN, VALUES_COLUMN);
  return `copy ${quoteTable(table)} (${names.join(', ')}) from stdin (format ${format === 'copy-binary' ? 'binary' : 'text'}${fresh ? ', freeze' : ''})`;
}

/**
 * Rows of the stage, or null where there is none or it holds another batch. One statement: the lock on the stage comes before its
 * snapshot, and in a transaction keeps the stage as it was counted.
 */
export async function countStage(session: Session, table: TableName, batch: number): Promise<number | null> {
  const { rows } = await session.query<{ there: boolean }>('select to_regclass($1) is not null as there', [quoteTable(table)]);
  if (!rows[0]?.there) return null;
  const { rows: counted } = await session.query<{ n: string; label: string | null }>(
    `select count(*) as n, obj_description($1::regclass, 'pg_class') as label from ${quoteTable(table)}`,
    [quoteTable(table)],
  );
  return counted[0]!.label?.endsWith(` ${batch}`) ? Number(counted[0]!.n) : null;
}

export async function dropStage(session: Session, table: TableName): Promise<void> {
  await session.query(`drop table if exists ${quoteTable(table)}`);
}

/** Marks each row of a lenient stage that one of the types refuses. Returns nothing: {@link stageCounts} counts. */
export async function markMisfits(session: Session, stage: Stage): Promise<void> {
  const found = stage.columns.filter((column) => column.type !== 'text').map(
    (column) => `case when ${quoteIdent(column.name)} is not null and tidemark.misfit(${quoteIdent(column.name)}, ${quoteLiteral(column.type)})
      then jsonb_build_array(jsonb_build_object('column', ${quoteLiteral(column.name)}, 'code', 'type')) else '[]' end`,
  );
  if (found.length === 0) return;
  await session.query(
    `update ${quoteTable(stage.table)} s set ${REJECT_COLUMN} = m.reasons::text, ${VALUES_COLUMN} = ${valuesAsText(stage, 's')}
     from (select ctid, ${found.join(' || ')} as reasons from ${quoteTable(stage.table)} where ${REJECT_COLUMN} is null) m
     where m.ctid = s.ctid and m.reasons <> '[]'`,
  );
}

/** Rejects rows whose key is NULL and marks all but the newest version of each key. For keys that the source does not enforce. */
export async function markDuplicates(session: Session, stage: Stage, key: readonly string[], newestFirst: string | null): Promise<void> {
  const table = quoteTable(stage.table);
  const nullKey = key.map((name) => `${quoteIdent(name)} is null`).join(' or ');
  const reason = quoteLiteral(JSON.stringify([{ column: key[0], code: 'key_null' }]));
  await session.query(
    `update ${table} s set ${REJECT_COLUMN} = ${reason}, ${VALUES_COLUMN} = ${valuesAsText(stage, 's')}
     where ${REJECT_COLUMN} is null and (${nullKey})`,
  );
  const order = newestFirst === null ? 'ctid desc' : `${quoteIdent(newestFirst)} desc nulls last, ctid desc`;
  await session.query(
    `update ${table} s set ${SUPERSEDED_COLUMN} = true
     from (select ctid, row_number() over (partition by ${key.map(quoteIdent).join(', ')} order by ${order}) as n from ${table} where ${REJECT_COLUMN} is null) d
     where d.ctid = s.ctid and d.n > 1`,
  );
}

export interface StageCounts {
  readonly rejected: number;
  readonly superseded: number;
}

export async function stageCounts(session: Session, table: TableName): Promise<StageCounts> {
  const { rows } = await session.query<{ rejected: string; superseded: string }>(
    `select count(*) filter (where ${REJECT_COLUMN} is not null) as rejected, count(*) filter (where ${SUPERSEDED_COLUMN}) as superseded from ${quoteTable(table)}`,
  );
  return { rejected: Number(rows[0]!.rejected), superseded: Number(rows[0]!.superseded) };
}
