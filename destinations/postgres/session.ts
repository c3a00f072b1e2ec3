import type { PoolClient } from 'pg';

/** One checked-out session of the destination. */
export type Session = PoolClient;
