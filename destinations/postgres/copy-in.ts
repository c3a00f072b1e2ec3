import type { Writable } from 'node:stream';
import copyStreams from 'pg-copy-streams';
import { noteFeed } from './line-watch.ts';
import type { Session } from './session.ts';

/** Bytes that may wait for the server: a few socket writes. */
const HIGH_WATER_MARK_BYTES = 1 << 18;

/** A COPY that is being fed. Destroying it makes the server drop what it has taken. */
export interface CopyIn extends Writable {
  /** Rows that the server took, once the stream has finished. */
  readonly rowCount: number;
}

/**
 * Starts `COPY … FROM STDIN` in the session's transaction. With `onSent` what is written to it is whole CopyData messages, which go to the server as
 * they are; it is told each of them once the system has taken it.
 */
export function openCopyIn(session: Session, sql: string, onSent?: (messages: Buffer) => void): CopyIn {
  const query = copyStreams.from(sql, { highWaterMark: HIGH_WATER_MARK_BYTES });
  if (onSent !== undefined) query.flushChunk = (messages) => query.connection.stream.write(messages, () => onSent(messages));
  const feed = session.query(query);
  noteFeed(session, feed);
  return feed;
}
