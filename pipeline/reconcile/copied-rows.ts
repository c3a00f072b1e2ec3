import type { RowRead } from '../../connectors/connector.ts';
import { createRowsTable, SOURCE_ROWS } from '../../destinations/postgres/difference.ts';
import type { Session } from '../../destinations/postgres/destination.ts';
import { quoteIdent, quoteTable } from '../../destinations/postgres/identifiers.ts';
import { copyInSql, REJECT_COLUMN } from '../../destinations/postgres/stage.ts';
import { copyRows, keepError } from '../copy-rows.ts';
import type { OnProgress } from '../engine.ts';
import type { Comparison } from './comparison.ts';

/**
 * Copies rows of the source into a table of the session's transaction, to be compared there. Rows that the connector marks as no fit for their
 * columns are left out: they wait in the quarantine. Memory is bounded as in every copy. Returns the bytes.
 */
export async function copyForComparison(session: Session, comparison: Comparison, read: RowRead, signal: AbortSignal, onProgress: OnProgress): Promise<number> {
  keepError(read);
  try {
    await createRowsTable(session, comparison.columns);
    const { bytes } = await copyRows(read, session, copyInSql(SOURCE_ROWS, comparison.columns.map(({ name }) => name), read.format, { marked: read.marksRejects, fresh: false }), signal, onProgress, null);
    if (read.marksRejects) await session.query(`delete from ${quoteTable(SOURCE_ROWS)} where ${quoteIdent(REJECT_COLUMN)} is not null`);
    await session.query(`analyze ${quoteTable(SOURCE_ROWS)}`);
    return bytes;
  } finally {
    read.stream.destroy();
  }
}
