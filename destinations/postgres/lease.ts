/** A task that one process does at a time, over all machines: the session that holds an advisory lock. */
import type { Destination } from './destination.ts';

const HEARTBEAT_MS = 5_000;
/** A holder whose host is gone without a word loses its lease after about half a minute. */
const KEEPALIVE = 'set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3';

/**
 * Does `work` if nobody else does it now; returns false where somebody does. Its signal aborts with `signal`, and when the lease is lost: another
 * process may then begin while `work` still ends, so what it does has to bear that. Errors of the destination come out as they are.
 */
export async function withLease(destination: Destination, name: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  return destination.rawSession(async (session) => {
    await session.query(KEEPALIVE);
    const key = `tidemark lease ${name}`;
    const { rows } = await session.query<{ got: boolean }>('select pg_try_advisory_lock(hashtextextended($1, 0)) as got', [key]);
    if (!rows[0]!.got) return false;
    const lost = new AbortController();
    const lose = () => lost.abort();
    session.once('error', lose);
    session.once('end', lose);
    const timer = setInterval(() => void session.query('select').catch(lose), HEARTBEAT_MS).unref();
    try {
      await work(AbortSignal.any([signal, lost.signal]));
    } finally {
      clearInterval(timer);
      session.off('error', lose);
      session.off('end', lose);
    }
    await session.query('select pg_advisory_unlock(hashtextextended($1, 0))', [key]);
    return true;
  });
}
