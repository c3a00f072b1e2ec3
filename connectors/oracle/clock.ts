/** The server's clock in SQL, and asked for. */
import { Binds } from './binds.ts';
import type { OracleClient } from './client.ts';

export const UTC_NOW = 'SYS_EXTRACT_UTC(SYSTIMESTAMP)';

/** A timestamp in UTC as ISO 8601 with microseconds. */
export function isoClock(expression: string): string {
  return `TO_CHAR(${expression}, 'YYYY-MM-DD"T"HH24:MI:SS.FF6"Z"')`;
}

/** The source's clock, ISO 8601 UTC with microseconds. */
export async function clock(client: OracleClient): Promise<string> {
  const [now = null] = await client.texts(new Binds().statement(`SELECT ${isoClock(UTC_NOW)} FROM DUAL`), 'the server');
  return now ?? '';
}
