import { closeAfterSwap } from './approvals.ts';
import type { Session } from './session.ts';
import { countLive } from './deletes.ts';
import { BATCH_OF_SESSION } from './direct.ts';
import type { Building } from './generation.ts';
import { boundedName, quoteIdent, quoteTable, type TableName } from './identifiers.ts';
import { countPast, recordRetention, type RetentionScope } from './retention.ts';
import { retypeEmpty } from './retype.ts';
import { BATCH_COLUMN, generationName, inspectTable, type TypedColumn } from './target.ts';

export interface Swap {
  readonly source: string;
  readonly stream: string;
  readonly target: TableName;
  readonly building: Building;
  readonly columns: readonly string[];
  /** Share of rows that may vanish, 0 to 1; more than that is asked about. */
  readonly deleteCap: number;
  readonly keepGenerations: number;
  /** Later batches copy new rows straight into the target. */
  readonly appends?: boolean;
  /** Rows of both may be marked as deleted, and do not count then. */
  readonly marks?: boolean;
  /** Rows of the target that are past do not count either: the build leaves them out on purpose. */
  readonly retention?: RetentionScope | null;
}

/** `unchanged`: the new generation equals the target row by row, so the target was left alone. */
export type SwapResult = 'swapped' | 'unchanged';

export interface SwapCounts {
  readonly before: number;
  /** Of these: past what the stream keeps. */
  readonly past: number;
  /** Null where the target is empty: nothing can vanish. */
  readonly after: number | null;
}

/** Rows of the target and of the build. From here on nobody else writes to the target until the caller's transaction ends. */
export async function countForSwap(session: Session, swap: Swap): Promise<SwapCounts> {
  await session.query(`lock table ${quoteTable(swap.target)} in share row exclusive mode`);
  const marks = swap.marks === true;
  const before = await countLive(session, swap.target, marks, null);
  const retention = swap.retention ?? null;
  const past = retention === null || before === 0 ? 0 : await countPast(session, swap.target, retention.retention, marks);
  return { before, past, after: before === 0 ? null : await countLive(session, swap.building.table, marks, null) };
}

/** True where more rows would vanish than the cap allows without asking. */
export function shrinksTooFar(swap: Pick<Swap, 'deleteCap'>, { before, past, after }: SwapCounts): boolean {
  const kept = before - past;
  return after !== null && kept - after > kept * swap.deleteCap;
}

/**
 * Puts a finished generation in the target's place and sets the watermark, all in the caller's transaction: readers
 * see the old rows until it commits. Whether so many rows may vanish was decided before, by {@link shrinksTooFar} or by a person.
 */
export async function swapGeneration(session: Session, swap: Swap, { before, past, after }: SwapCounts): Promise<SwapResult> {
  const same = before === after && (await retypedColumns(session, swap)).length === 0 && (await sameKey(session, swap)) && (await sameRows(session, swap));
  if (same) {
    await session.query("update tidemark.ledger set unchanged = unchanged + written, written = 0 where source = $1 and stream = $2 and generation = $3", [swap.source, swap.stream, swap.building.generation]);
    await session.query(`drop table ${quoteTable(swap.building.table)}`);
  } else {
    await replaceTarget(session, swap, before);
  }
  if (!same && swap.retention) await recordRetention(session, swap.retention, past, null);
  await recordSwap(session, swap, same);
  return same ? 'unchanged' : 'swapped';
}

async function replaceTarget(session: Session, swap: Swap, before: number): Promise<void> {
  await session.query(`alter table ${quoteTable(swap.building.table)} alter column ${BATCH_COLUMN} ${swap.appends === true ? `set default ${BATCH_OF_SESSION}` : 'drop default'}`);
  const facts = await inspectTable(session, swap.target);
  if (facts?.hasDependents) return replaceRows(session, swap);
  await session.query(`lock table ${quoteTable(swap.target)} in access exclusive mode`);
  await copyGrants(session, swap.target, swap.building.table);
  const indexes = await copyIndexes(session, swap);
  const parked = oldName(swap.target, await currentGeneration(session, swap));
  await session.query(`drop table if exists ${quoteTable(parked)}`);
  await rename(session, swap.target, parked);
  await rename(session, swap.building.table, swap.target);
  for (const index of indexes) await session.query(`alter index ${quoteIdent(swap.target.schema)}.${quoteIdent(index.made)} rename to ${quoteIdent(index.name)}`);
  if (before === 0 || swap.keepGenerations === 0) await session.query(`drop table ${quoteTable(parked)}`);
}

async function currentGeneration(session: Session, swap: Swap): Promise<number> {
  const { rows } = await session.query<{ generation: number }>("select generation from tidemark.generation where source = $1 and stream = $2 and state = 'current'", [swap.source, swap.stream]);
  return rows[0]?.generation ?? 0;
}

/** Where a generation is kept that was swapped out. */
function oldName(target: TableName, generation: number): TableName {
  const name = generationName(target, generation);
  return { schema: name.schema, name: boundedName(`old_${name.name}`) };
}

/** Columns that the build has with another type than the target. */
async function retypedColumns(session: Session, swap: Swap): Promise<TypedColumn[]> {
  const [target, building] = [await inspectTable(session, swap.target), await inspectTable(session, swap.building.table)];
  return (building?.columns ?? []).filter((column) => target?.columns.some((known) => known.name === column.name && known.type !== column.type)).map(({ name, type }) => ({ name, type }));
}

/** For a target that views or foreign keys hang on: the same table stays, its rows are exchanged. */
async function replaceRows(session: Session, swap: Swap): Promise<void> {
  const columns = [...swap.columns, BATCH_COLUMN].map(quoteIdent).join(', ');
  await session.query(`delete from ${quoteTable(swap.target)}`);
  await retypeEmpty(session, swap.target, await retypedColumns(session, swap));
  await session.query(`insert into ${quoteTable(swap.target)} (${columns}) select ${columns} from ${quoteTable(swap.building.table)}`);
  await session.query(`drop table ${quoteTable(swap.building.table)}`);
}

/** Renames a table and its key's index, in two steps since the new name may be taken in the old schema. */
async function rename(session: Session, from: TableName, to: TableName): Promise<void> {
  const { rows } = await session.query<{ name: string }>("select conname as name from pg_constraint where conrelid = $1::regclass and contype = 'p'", [quoteTable(from)]);
  const passing = { schema: from.schema, name: boundedName(`swap_${to.schema}_${to.name}`) };
  await session.query(`alter table ${quoteTable(from)} rename to ${quoteIdent(passing.name)}`);
  if (rows[0]) await session.query(`alter table ${quoteTable(passing)} rename constraint ${quoteIdent(rows[0].name)} to ${quoteIdent(boundedName(`${to.name}_pkey`))}`);
  if (from.schema !== to.schema) await session.query(`alter table ${quoteTable(passing)} set schema ${quoteIdent(to.schema)}`);
  await session.query(`alter table ${quoteTable({ schema: to.schema, name: passing.name })} rename to ${quoteIdent(to.name)}`);
}

interface CopiedIndex {
  readonly name: string;
  /** Its name until the old table has given the other one up. */
  readonly made: string;
}

/** Builds on the new generation what indexes a person has added to the target. The primary key has been built already. */
async function copyIndexes(session: Session, swap: Swap): Promise<CopiedIndex[]> {
  const { rows } = await session.query<{ name: string; unique: boolean; rest: string }>(
    `select c.relname as name, i.indisunique as unique,
       substr(pg_get_indexdef(i.indexrelid), length(format('CREATE %sINDEX %I ON %s USING ', case when i.indisunique then 'UNIQUE ' else '' end, c.relname, $1::text)) + 1) as rest
     from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = $2::regclass and not i.indisprimary and i.indisvalid`,
    [await printedName(session, swap.target), quoteTable(swap.target)],
  );
  const copied = rows.map((row, n) => ({ ...row, made: boundedName(`swap${n}_${swap.building.generation}_${row.name}`) }));
  for (const index of copied) {
    await session.query(`create ${index.unique ? 'unique ' : ''}index ${quoteIdent(index.made)} on ${quoteTable(swap.building.table)} using ${index.rest}`);
  }
  return copied;
}

/** The table's name as the server prints it in definitions. */
async function printedName(session: Session, table: TableName): Promise<string> {
  const { rows } = await session.query<{ name: string }>("select format('%I.%I', $1::text, $2::text) as name", [table.schema, table.name]);
  return rows[0]!.name;
}

async function copyGrants(session: Session, from: TableName, to: TableName): Promise<void> {
  const { rows } = await session.query<{ statement: string }>(
    `select format('grant %s on %s to %s%s', a.privilege_type, $2::text, case when a.grantee = 0 then 'public' else a.grantee::regrole::text end, case when a.is_grantable then ' with grant option' else '' end) as statement
     from pg_class c, aclexplode(c.relacl) a where c.oid = $1::regclass and a.grantee <> c.relowner`,
    [quoteTable(from), quoteTable(to)],
  );
  for (const row of rows) await session.query(row.statement);
}

/** The target enforces the build's key. */
async function sameKey(session: Session, swap: Swap): Promise<boolean> {
  const wanted = (await inspectTable(session, swap.building.table))?.uniqueKeys[0];
  if (wanted === undefined) return true;
  const known = (await inspectTable(session, swap.target))?.uniqueKeys ?? [];
  return known.some((key) => key.length === wanted.length && key.every((name) => wanted.includes(name)));
}

/** Equal as multisets of rows, told by two 64-bit hash sums over the rows' text: order does not matter, every column does. */
async function sameRows(session: Session, swap: Swap): Promise<boolean> {
  const row = `row(${swap.columns.map(quoteIdent).join(', ')})::text`;
  const sums = (table: TableName) => `(select (sum(hashtextextended(${row}, 0)), sum(hashtextextended(${row}, 1)))::text from ${quoteTable(table)})`;
  const { rows } = await session.query<{ same: boolean }>(`select ${sums(swap.target)} = ${sums(swap.building.table)} as same`);
  return rows[0]!.same;
}

async function recordSwap(session: Session, swap: Swap, same: boolean): Promise<void> {
  const id = [swap.source, swap.stream, swap.building.generation];
  if (!same) await session.query("update tidemark.generation set state = 'old' where source = $1 and stream = $2 and state = 'current' and generation <> $3", id);
  await session.query(`update tidemark.generation set state = '${same ? 'dropped' : 'current'}' where source = $1 and stream = $2 and generation = $3`, id);
  await session.query(
    `insert into tidemark.watermark (source, stream, generation, version, position, display, guarantee, as_of)
     select source, stream, generation, version + 1, position, display, guarantee, as_of from tidemark.generation where source = $1 and stream = $2 and generation = $3
     on conflict (source, stream) do update set generation = case when $4 then watermark.generation else excluded.generation end, version = watermark.version + 1,
       position = excluded.position, display = excluded.display, guarantee = excluded.guarantee, as_of = excluded.as_of, updated_at = clock_timestamp()`,
    [...id, same],
  );
  await session.query('delete from tidemark.range where source = $1 and stream = $2 and generation = $3', id);
  await closeAfterSwap(session, swap.source, swap.stream);
  await dropOldGenerations(session, swap);
}

async function dropOldGenerations(session: Session, swap: Swap): Promise<void> {
  const { rows } = await session.query<{ generation: number }>(
    "select generation from tidemark.generation where source = $1 and stream = $2 and state = 'old' order by generation desc offset $3",
    [swap.source, swap.stream, swap.keepGenerations],
  );
  for (const row of rows) {
    await session.query(`drop table if exists ${quoteTable(oldName(swap.target, row.generation))}`);
    await session.query("update tidemark.generation set state = 'dropped' where source = $1 and stream = $2 and generation = $3", [swap.source, swap.stream, row.generation]);
  }
}
