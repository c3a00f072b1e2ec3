/** How a server shows one of our sessions, asked on another connection; and its end, where nobody listens to it any more. */
import type { LineView } from '../silent-line.ts';

/** One session of one server. Several servers may stand behind one address, and a proxy gives out ids of its own. */
export interface SessionId {
  readonly threadId: number;
  /** `@@hostname:@@port`. */
  readonly server: string;
}

type Ask = (sql: string) => Promise<readonly (readonly (string | null)[])[]>;

/** As a server prints what it does with the rows of a client that takes none. */
const WRITES = /^(writing to net|sending to client)/i;

/** A user sees its own sessions without any privilege. One that is not there proves nothing: a proxy may have numbered it. */
export async function viewSession(ask: Ask, { threadId, server }: SessionId): Promise<LineView> {
  const [row] = await ask(`SELECT command, state, CONCAT(@@hostname, ':', @@port) FROM information_schema.processlist WHERE id = ${threadId} AND user = SUBSTRING_INDEX(USER(), '@', 1)`);
  if (row === undefined || row[2] !== server) return 'works';
  return row[0] === 'Sleep' || WRITES.test(row[1] ?? '') ? 'waits' : 'works';
}

/** Its snapshot would be kept for hours, and old rows with it. */
export async function endSession(ask: Ask, id: SessionId): Promise<void> {
  if ((await viewSession(ask, id)) === 'waits') await ask(`KILL ${id.threadId}`);
}
