import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, logger } from './logging.ts';

/** Something that runs until it ends or is stopped. */
export interface Running {
  /** Resolves with how it ended; never rejects. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 30_000;
/** What ran this long is taken for healthy, and the backoff begins anew. */
const HEALTHY_AFTER_MS = 60_000;

/**
 * Keeps `running` alive: each time it ends it is started again, at once the first time, then after a doubling wait of at most 30 s.
 * Returns what stops it for good.
 */
export function supervise(name: string, running: Running, restart: () => Promise<Running>): () => Promise<void> {
  const log = logger({ component: 'up' });
  const stopping = new AbortController();
  let current: Running | null = running;

  async function startAgain(): Promise<void> {
    try {
      const next = await restart();
      if (stopping.signal.aborted) await next.stop();
      else current = next;
    } catch (error) {
      log.error({ server: name, error: describeError(error) }, 'could not be started again');
    }
  }

  async function watch(): Promise<void> {
    let waitMs = BACKOFF_FIRST_MS;
    while (!stopping.signal.aborted) {
      const since = performance.now();
      const how = current === null ? 'not started' : await current.ended;
      if (stopping.signal.aborted) return;
      current = null;
      waitMs = performance.now() - since > HEALTHY_AFTER_MS ? BACKOFF_FIRST_MS : Math.min(waitMs * 2, BACKOFF_MAX_MS);
      log.warn({ server: name, how, waitMs }, 'ended; it is started again');
      await sleep(waitMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (!stopping.signal.aborted) await startAgain();
    }
  }

  const watching = watch();
  return async () => {
    stopping.abort();
    await current?.stop();
    await watching;
  };
}
