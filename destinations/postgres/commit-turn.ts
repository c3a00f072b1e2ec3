/** A lock by which a batch's transaction is waited for; it ends with the transaction. */
import type { Session } from './session.ts';

const TURN_LOCK = "hashtextextended('tidemark turn ' || $1::text, 0)";

export async function holdTurn(session: Session, batch: number): Promise<void> {
  await session.query(`select pg_advisory_xact_lock(${TURN_LOCK})`, [batch]);
}

/** Returns when the batch's transaction has ended, however long it takes: whoever holds the lock is watched by its own worker. */
export async function waitForTurn(session: Session, batch: number): Promise<void> {
  await session.query('set local lock_timeout = 0');
  await session.query(`select pg_advisory_xact_lock_shared(${TURN_LOCK})`, [batch]);
  await session.query('set local lock_timeout to default');
}
