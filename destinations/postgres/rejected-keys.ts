/** Keys whose newest row waits in quarantine: their target lacks it or has an older one on purpose. */
import type { DifferenceOwner } from './difference.ts';
import { quoteIdent, quoteLiteral, quoteTable, type TableName } from './identifiers.ts';
import type { Session } from './session.ts';
import { BATCH_COLUMN, type TypedColumn } from './target.ts';

/** Stands for NULL, so that keys with one can be joined by hashes; no text of a source holds it. */
const NO_VALUE = 'chr(1)';

/** A key column of the target, with the source's name of it: values that a connector refused stand under that. */
export interface RejectedKey extends TypedColumn {
  readonly sourceName: string;
}

/**
 * Takes keys off the list of differences whose newest read waits in quarantine. A row of the target that was written since tells that the source's row
 * was good again, so such a key stays. Keys are compared as texts, since the waiting one may be no value of its type. Idempotent.
 */
export async function forgetRejected(session: Session, owner: DifferenceOwner, target: TableName, key: readonly RejectedKey[]): Promise<void> {
  const typed = (name: string, type: string): string => `(d.key->>${quoteLiteral(name)})::${type}`;
  const waits = key.map(({ name, type, sourceName }) => `coalesce(q."row"->>${quoteLiteral(name)}, q."row"->>${quoteLiteral(sourceName)}, ${NO_VALUE}) = coalesce(${typed(name, type)}::text, ${NO_VALUE})`);
  const written = key.map(({ name, type }) => `t.${quoteIdent(name)} = ${typed(name, type)}`);
  await session.query(
    `delete from tidemark.difference d using tidemark.quarantine q
     where d.source = $1 and d.stream = $2 and d.run_id = $3 and q.source = $1 and q.stream = $2 and q.replayed_at is null and ${waits.join(' and ')}
       and not exists (select from ${quoteTable(target)} t where ${written.join(' and ')} and t.${quoteIdent(BATCH_COLUMN)} >= q.batch)`,
    [owner.source, owner.stream, owner.runId],
  );
}
