/**
 * How many bulk copies a worker takes at once: two at any time, and further ones while it has time to spare. A worker that is busy leaves the next
 * copy in the queue, where one that is not finds it; with a fixed number of places the first to ask would take more than their share.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ActivitySlotInfo, CustomSlotSupplier, SlotPermit, WorkerOptions } from '@temporalio/worker';

/** Each holds a session at the source and one at the destination; a second one for moments. */
export const BULK_AT_ONCE_MAX = 8;
/** While one begins or commits, the other keeps the worker at work. */
const BULK_AT_ONCE_MIN = 2;
/** Share of its time that the event loop may be busy where another copy is taken. */
const BUSY_SHARE = 0.8;
/** How long it is looked at: ten periods of the kernel's CPU limit, within each of which a worker may be made to rest, and longer than the pause between two copies. */
const LOOK_MS = 1_000;
/**
 * A worker that is kept busy takes a third one after this long, so that no copy waits for the end of a long one; each further one after twice the time of the one
 * before, since what it has begun no other worker can end for it.
 */
const SHARE_AFTER_MS = 15_000;

export interface BulkLimits {
  readonly atOnceMin: number;
  readonly atOnceMax: number;
  readonly lookMs: number;
  readonly shareAfterMs: number;
  /** Begins to look how busy the worker is; the function that it returns says it: between 0 and 1. */
  readonly watchLoad: () => () => number;
}

export class BulkPlaces implements CustomSlotSupplier<ActivitySlotInfo> {
  readonly type = 'custom';
  readonly #limits: BulkLimits;
  #taken = 0;
  #lastTakenAt = 0;
  /** Aborted when one of the places that are always there is given back. */
  #freed = new AbortController();

  constructor(limits: BulkLimits) {
    this.#limits = limits;
  }

  /** Waits for a place. Throws the signal's reason, as Temporal's library asks for. */
  async reserveSlot(_context: unknown, signal: AbortSignal): Promise<SlotPermit> {
    while (this.#taken >= this.#limits.atOnceMin) {
      const load = this.#limits.watchLoad();
      await sleep(this.#limits.lookMs, undefined, { signal: AbortSignal.any([signal, this.#freed.signal]) }).catch(() => undefined);
      if (signal.aborted) throw signal.reason;
      if (this.#taken < this.#limits.atOnceMax && (load() < BUSY_SHARE || this.#isDue())) break;
    }
    this.#taken += 1;
    this.#lastTakenAt = performance.now();
    return {};
  }

  /** A copy is never handed to the worker that asked for it without a look at its load. */
  tryReserveSlot(): null {
    return null;
  }

  markSlotUsed(): void {
    // A place counts from when it is reserved.
  }

  releaseSlot(): void {
    this.#taken -= 1;
    if (this.#taken >= this.#limits.atOnceMin) return;
    this.#freed.abort();
    this.#freed = new AbortController();
  }

  #isDue(): boolean {
    return performance.now() - this.#lastTakenAt >= this.#limits.shareAfterMs * 2 ** (this.#taken - this.#limits.atOnceMin);
  }
}

/**
 * What a worker of a bulk queue is made with; it runs activities only. It asks the server for one copy at a time: each question keeps a place while it waits, so
 * with more of them a worker at rest would take as many copies at a blow as it has questions, and its load be looked at too late.
 */
export function bulkOptions(places: BulkPlaces): Pick<WorkerOptions, 'tuner' | 'activityTaskPollerBehavior'> {
  const none = { type: 'fixed-size', numSlots: 1 } as const;
  return {
    tuner: { activityTaskSlotSupplier: places, workflowTaskSlotSupplier: none, localActivityTaskSlotSupplier: none, nexusTaskSlotSupplier: none },
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 1 },
  };
}

export function bulkPlaces(): BulkPlaces {
  return new BulkPlaces({ atOnceMin: BULK_AT_ONCE_MIN, atOnceMax: BULK_AT_ONCE_MAX, lookMs: LOOK_MS, shareAfterMs: SHARE_AFTER_MS, watchLoad: watchEventLoop });
}

/** A process that the kernel makes rest in the middle of its work counts as busy, whatever its share of the machine. */
function watchEventLoop(): () => number {
  const begun = performance.eventLoopUtilization();
  return () => performance.eventLoopUtilization(begun).utilization;
}
