/** The cheap question. */
import type { Position } from '../../schemas/position.ts';
import type { StreamRead } from '../connector.ts';
import { columnOf, compareExpression, textExpression } from './columns.ts';
import { digestRows } from './digest.ts';
import { compareOpen, readOpenTransactions } from './open-transactions.ts';
import { parsePosition } from './position-state.ts';
import { quoteTable } from './quoting.ts';
import { placedRows, SELECT, SNAPSHOT } from './range.ts';
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
  await connection.query(SNAPSHOT, tableName(stream));
  try {
    if (stream.cursor === null) return (await digestRows(connection, stream, ['TRUE'])) !== state.tail.digest;
    await checkHistory(connection, stream, state);
    const cursor = columnOf(stream.table, stream.cursor);
    const [max] = await connection.query(
      `${SELECT} ${textExpression(cursor)} FROM ${quoteTable(stream.table)} WHERE ${placedRows(cursor)} ORDER BY ${compareExpression(cursor)} DESC LIMIT 1`,
      tableName(stream),
    );
    if ((max?.[0] ?? null) !== state.tail.max) return true;
    if (state.tail.partial) {
      const now = await readOpenTransactions(connection);
      if (now === null || compareOpen(state.open, now, null).ended.length > 0) return true;
    }
    return (await digestTail(connection, stream, cursor, state.tail.from)) !== state.tail.digest;
  } finally {
    await connection.query('COMMIT', tableName(stream)).catch(() => undefined);
  }
}
