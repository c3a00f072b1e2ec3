import type { Session } from './session.ts';
import { quoteTable, type TableName } from './identifiers.ts';
import { BATCH_COLUMN } from './target.ts';

/** Default of the batch's column in a target that rows are copied straight into: the session's setting says whose batch they are. Rows that others insert have none. */
export const BATCH_OF_SESSION = "nullif(current_setting('tidemark.batch', true), '')::bigint";

/** A copy that fails at a known row was in vain, so after one many batches go through the stage. */
const LOOKED_AT = 8;

export interface DirectTarget {
  readonly source: string;
  readonly stream: string;
  readonly generation: number;
  readonly target: TableName;
}

/**
 * True where a COPY into the target does what a load does, and new rows are to be expected: the generation is the one that readers see, the table gives
 * rows their batch ({@link BATCH_OF_SESSION}) and has nothing that acts on rows, and of the stream's last batches none found a row that was there already.
 */
export async function takesNewRows(session: Session, { source, stream, generation, target }: DirectTarget): Promise<boolean> {
  const { rows } = await session.query<{ takes: boolean }>(
    `select c.relkind = 'r' and not c.relrowsecurity and not c.relhasrules
         and not exists (select from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal)
         and exists (select from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
           where d.adrelid = c.oid and a.attname = '${BATCH_COLUMN}' and pg_get_expr(d.adbin, d.adrelid) like '%tidemark.batch%')
         and exists (select from tidemark.watermark w where w.source = $2 and w.stream = $3 and w.generation = $4)
         and coalesce((select bool_and(l.written = l.read) from (select written, read from tidemark.ledger where source = $2 and stream = $3 and kind = 'range' order by batch desc limit ${LOOKED_AT}) l), true) as takes
     from pg_class c where c.oid = to_regclass($1)`,
    [quoteTable(target), source, stream, generation],
  );
  return rows[0]?.takes ?? false;
}
