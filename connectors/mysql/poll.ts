/** The cheap question. */
import type { Position } from '../../schemas/position.ts';
import type { StreamRead } from '../connector.ts';
import { compareExpression, cursorOf, textExpression } from './columns.ts';
import { digestRows } from './digest.ts';
import { compareOpen, readOpenTransactions } from './open-transactions.ts';
import { parsePosition } from './position-state.ts';
import { quoteTable } from './quoting.ts';
import { beginSnapshot, placedRows } from './range.ts';
import type { Source } from './source.ts';
import { checkHistory, digestTail, tableName } from './watermark.ts';

/**
 * False only if the rows that the next run would read are those that the last one read: one index probe, and a digest of what is
 * read again, made at the source.
 */
export async function poll(source: Source, stream: StreamRead, position: Position): Promise<boolean> {
  const { connection } = source;
  const state = parsePosition(position, await source.identity(), tableName(stream));
  if (state.run !== null) return true;
  try {
    const now = state.tail.partial ? await readOpenTransactions(connection) : [];
    if (now === null || (state.tail.partial && compareOpen(state.open, now, null).ended.length > 0)) return true;
    await beginSnapshot(connection, tableName(stream));
    if (stream.cursor === null) return (await digestRows(connection, stream, ['TRUE'])) !== state.tail.digest;
    // What a server that has gone back had at the watermark is not there: the rows say that there is something to read.
    await checkHistory(connection, stream, state, null);
    const cursor = cursorOf(stream);
    const [max] = await connection.query(
      `SELECT ${textExpression(cursor)} FROM ${quoteTable(stream.table)} WHERE ${placedRows(cursor)} ORDER BY ${compareExpression(cursor)} DESC LIMIT 1`,
      tableName(stream),
    );
    if ((max?.[0] ?? null) !== state.tail.max) return true;
    return (await digestTail(connection, stream, cursor, state.tail.from)) !== state.tail.digest;
  } finally {
    await connection.query('COMMIT', tableName(stream)).catch(() => undefined);
  }
}
