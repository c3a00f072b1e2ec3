/** Changes of a target column's type. */
import { TidemarkError } from '../../schemas/errors.ts';
import { formatTableName, quoteIdent, quoteTable, type TableName } from './identifiers.ts';
import type { Session } from './session.ts';
import type { TypedColumn } from './target.ts';

/** A larger table is not rewritten under a lock that readers wait for: its next generation is built beside it. */
export const REWRITE_BYTES_MAX = 512 * 1024 * 1024;

const sqlState = (error: unknown): unknown => (typeof error === 'object' && error !== null && 'code' in error ? error.code : null);

const partsOf = (type: string): { base: string; mods: string[] } => ({ base: type.replace(/\([\d,-]+\)/, ''), mods: (/\(([\d,-]+)\)/.exec(type)?.[1] ?? '').split(',').filter((mod) => mod !== '') });

/** True where PostgreSQL has to write every row anew to change `from` into the wider `to`; both as `format_type` prints them. */
export function rewrites(from: string, to: string): boolean {
  const [a, b] = [partsOf(from), partsOf(to)];
  if (a.base === 'character varying' && (b.base === 'text' || b.base === a.base)) return false;
  if (a.base !== b.base) return true;
  if (a.base === 'numeric') return b.mods.length > 0 && (a.mods[1] ?? '0') !== (b.mods[1] ?? '0');
  return !/^(bit varying|timestamp|time)/.test(a.base);
}

export async function tableBytes(session: Session, table: TableName): Promise<number> {
  const { rows } = await session.query<{ bytes: string }>('select pg_total_relation_size($1::regclass) as bytes', [quoteTable(table)]);
  return Number(rows[0]!.bytes);
}

/** Gives a column a wider type, its values kept. Throws `target.column_conflict` where a view or a rule uses it. */
export async function widenColumn(session: Session, table: TableName, column: TypedColumn): Promise<void> {
  await alterType(session, table, column, null);
}

/** Gives columns of a table without rows other types. */
export async function retypeEmpty(session: Session, table: TableName, columns: readonly TypedColumn[]): Promise<void> {
  for (const column of columns) {
    await session.query(`alter table ${quoteTable(table)} alter column ${quoteIdent(column.name)} drop default`);
    await alterType(session, table, column, `null::${column.type}`);
  }
}

async function alterType(session: Session, table: TableName, column: TypedColumn, using: string | null): Promise<void> {
  try {
    await session.query(`alter table ${quoteTable(table)} alter column ${quoteIdent(column.name)} type ${column.type}${using === null ? '' : ` using ${using}`}`);
  } catch (error) {
    if (sqlState(error) !== '0A000') throw error;
    throw new TidemarkError('target.column_conflict', `Column ${column.name} of ${formatTableName(table)} can't become ${column.type} while a view, a rule or a generated column uses it.`, {
      hint: 'Drop what uses it, run tidemark retry, and create it again.',
      cause: error,
    });
  }
}
