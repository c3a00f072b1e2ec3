/** Soft-deleted rows on their way from a target to the build that takes its place. */
import { DELETED_COLUMN } from './digest.ts';
import { quoteIdent, quoteTable } from './identifiers.ts';
import { pastRow } from './retention.ts';
import type { Session } from './session.ts';
import type { Swap } from './swap.ts';
import { BATCH_COLUMN } from './target.ts';

/**
 * Takes over the target's rows that the build lacks: those marked as deleted as they are, the others marked now, since a complete read of the
 * source has not found them; those past their retention go. Rows that are marked in both keep their time. Returns how many are newly marked. The target is locked by the caller.
 */
export async function carryDeleted(session: Session, swap: Swap, key: readonly string[]): Promise<number> {
  const [target, building] = [quoteTable(swap.target), quoteTable(swap.building.table)];
  const same = key.map((name) => `b.${quoteIdent(name)} = t.${quoteIdent(name)}`).join(' and ');
  await session.query(
    `update ${building} b set ${DELETED_COLUMN} = t.${DELETED_COLUMN} from ${target} t where ${same} and b.${DELETED_COLUMN} is not null and t.${DELETED_COLUMN} is not null and b.${DELETED_COLUMN} <> t.${DELETED_COLUMN}`,
  );
  const past = swap.retention == null ? '' : ` and (${pastRow(swap.retention.retention)}) is not true`;
  const columns = swap.columns.filter((name) => name !== DELETED_COLUMN).map(quoteIdent);
  const { rows } = await session.query<{ n: string }>(
    `with carried as (
       insert into ${building} (${[...columns, DELETED_COLUMN, BATCH_COLUMN].join(', ')})
       select ${columns.map((name) => `t.${name}`).join(', ')}, coalesce(t.${DELETED_COLUMN}, now()),
         case when t.${DELETED_COLUMN} is null then (select max(l.batch) from tidemark.ledger l where l.source = $1 and l.stream = $2 and l.generation = $3) else t.${BATCH_COLUMN} end
       from ${target} t where not exists (select from ${building} b where ${same})${past}
       returning ${DELETED_COLUMN} = now() as fresh)
     select count(*) as n from carried where fresh`,
    [swap.source, swap.stream, swap.building.generation],
  );
  return Number(rows[0]!.n);
}
