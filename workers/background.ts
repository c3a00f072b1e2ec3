/** What Tidemark does by its own clock, beside runs: one worker of all does it at a time. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { runRelay } from '../control/events/relay.ts';
import { watchFreshness } from '../control/freshness.ts';
import { openDestination, type Destination } from '../destinations/postgres/destination.ts';
import { withLease } from '../destinations/postgres/lease.ts';
import { pruneTouches } from '../destinations/postgres/touch.ts';
import { pruneEvents, type OutboxBounds } from '../destinations/postgres/webhooks.ts';
import { describeError, logger } from '../runtime/logging.ts';
import { endLostRuns } from './lost-runs.ts';

/** How long a worker that is not the one waits before it asks again. */
const LEASE_EVERY_MS = 5_000;
const PRUNE_EVERY_MS = 60_000;
const PRUNE_ROWS_MAX = 1_000;
const PRUNE_BATCHES_MAX = 100;
const OUTBOX: OutboxBounds = { keepDays: 7, rowsMax: 100_000, undeliveredDays: 30, undeliveredRowsMax: 1_000_000 };

type Variables = () => Readonly<Record<string, string | undefined>>;

/** Runs until the signal. Never throws: what fails is tried again. */
export async function runBackground(destinationUrl: string, temporal: Client, variables: Variables, signal: AbortSignal): Promise<void> {
  const destination = openDestination(destinationUrl, { applicationName: 'tidemark background', sessionsMax: 4 });
  try {
    while (!signal.aborted) {
      await withLease(destination, 'background', signal, (held) => serve(destination, temporal, variables, held)).catch((error: unknown) => {
        if (!signal.aborted) logger({ component: 'background' }).warn({ error: describeError(error) }, 'events, freshness, lost runs and pruning pause; they go on by themselves');
      });
      await pause(LEASE_EVERY_MS, signal);
    }
  } finally {
    await destination.close();
  }
}

async function serve(destination: Destination, temporal: Client, variables: Variables, held: AbortSignal): Promise<void> {
  const ending = new AbortController();
  const signal = AbortSignal.any([held, ending.signal]);
  // One that fails ends the others, and the lease: whoever takes it next begins them all anew.
  const tasks = [runRelay(destination, variables, signal), watchFreshness(destination, signal), endLostRuns(destination, temporal, signal), prune(destination, signal)].map((task) => task.finally(() => ending.abort()));
  await Promise.allSettled(tasks);
  if (!held.aborted) await Promise.all(tasks);
}

async function prune(destination: Destination, signal: AbortSignal): Promise<void> {
  let after = 0;
  while (!signal.aborted) {
    const events = await destination.session('pruning events', (session) => pruneEvents(session, OUTBOX, PRUNE_ROWS_MAX));
    const touches = await destination.session('pruning the touch log', (session) => pruneTouches(session, after, PRUNE_BATCHES_MAX));
    after = touches.after;
    await pause(events === PRUNE_ROWS_MAX || touches.batches === PRUNE_BATCHES_MAX ? 1_000 : PRUNE_EVERY_MS, signal);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
