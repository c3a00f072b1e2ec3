/** Activities as plain objects that note each call and answer what the test says; without a word from it, a sync of one small batch goes well. */
import { ApplicationFailure } from '@temporalio/common';
import type { Activities } from '../../activities/activities.ts';
import type { RunSummary, StreamEndRequest } from '../../activities/messages.ts';
import { ERROR_CODES } from '../../schemas/errors.ts';
import type { ErrorCode, ErrorInfo } from '../../schemas/errors.ts';
import { NO_COUNTS } from '../../schemas/run.ts';
import { QUEUE } from './environment.ts';

export interface Call {
  readonly name: string;
  readonly argument: unknown;
}

export const WHOLE_BATCH: readonly ErrorCode[] = ['batch.fenced', 'batch.stage_lost', 'batch.equation'];

/** What an activity throws for an error of this code; see activities/activity-context.ts. */
export function failure(code: ErrorCode): ApplicationFailure {
  const info: ErrorInfo = { code, message: `It failed with ${code}.`, hint: null };
  return ApplicationFailure.create({ type: code, message: info.message, nonRetryable: ERROR_CODES[code].retry === 'permanent' || WHOLE_BATCH.includes(code), details: [info] });
}

/** Those of a sync. */
export type SyncActivities = Pick<
  Activities,
  | 'pollSource' | 'takeTurn' | 'giveWay' | 'awaitRun' | 'checkSource' | 'endSource' | 'endRun' | 'setPaused'
  | 'prepareStream' | 'extractBatch' | 'transformBatch' | 'loadBatch' | 'copyPart' | 'keyBuild' | 'finishBuild' | 'keyAndFinish' | 'endStream' | 'syncInPoll'
>;

export class RecordedActivities {
  readonly calls: Call[] = [];
  readonly #ends: StreamEndRequest[] = [];
  readonly all: SyncActivities;

  constructor({ pollSource: polled, ...answers }: Partial<SyncActivities> = {}) {
    let batch = 500;
    const defaults: Omit<SyncActivities, 'pollSource'> = {
      takeTurn: async () => ({ state: 'active' }),
      giveWay: async () => undefined,
      awaitRun: async () => 'completed',
      checkSource: async () => ({ changed: ['a'], settled: 0, over: false, giveWay: false, queue: QUEUE, priority: 3 }),
      endSource: async () => undefined,
      endRun: async ({ runId, source, status }) => this.#summary(runId, source, status),
      setPaused: async () => undefined,
      prepareStream: async () => ({ action: 'increment', generation: 1, notes: [] }),
      extractBatch: async () => ({ batch: ++batch, read: 10, bytes: 100, more: false, needsTransform: false }),
      transformBatch: async () => ({ rejected: 0, superseded: 0 }),
      loadBatch: async () => ({ read: 10, written: 8, unchanged: 2, rejected: 0, superseded: 0, deleted: 0, paused: false }),
      copyPart: async () => ({ batch: ++batch, read: 10, bytes: 100, staged: false, paused: false }),
      keyBuild: async () => undefined,
      keyAndFinish: async () => 'swapped',
      finishBuild: async () => 'swapped',
      endStream: async () => undefined,
      syncInPoll: async () => false,
    };
    const answering = { ...defaults, ...answers };
    const noted = Object.entries(answering).map(([name, answer]) => [
      name,
      async (argument: unknown): Promise<unknown> => {
        this.calls.push({ name, argument });
        if (name === 'endStream') this.#ends.push(argument as StreamEndRequest);
        return (answer as (given: unknown) => Promise<unknown>)(argument);
      },
    ]);
    const all = Object.fromEntries(noted) as SyncActivities;
    // One call of a window is one poll or several; without a word from the test it is one.
    const pollSource: Activities['pollSource'] = polled ?? (async (request) => ({ ...(await all.checkSource(request)), polls: 1, tick: request.tick }));
    this.all = { ...all, pollSource };
  }

  /** Names in the order of the calls. */
  get names(): readonly string[] {
    return this.calls.map(({ name }) => name);
  }

  argumentsOf<N extends keyof SyncActivities>(name: N): Parameters<SyncActivities[N]>[0][] {
    return this.calls.filter((call) => call.name === name).map(({ argument }) => argument as Parameters<SyncActivities[N]>[0]);
  }

  /** How each stream ended. */
  get ends(): Record<string, { status: string; code: string | null }> {
    return Object.fromEntries(this.#ends.map(({ stream, status, error }) => [stream, { status, code: error?.code ?? null }]));
  }

  #summary(runId: string, source: string, status: RunSummary['status'] | null): RunSummary {
    const ended = [...this.#ends, ...this.argumentsOf('endSource').map(({ status: all, error }) => ({ stream: 'all', status: all, error }))];
    const good = ended.every((end) => end.status === 'completed' || end.status === 'disabled');
    return { runId, source, status: status ?? (good ? 'completed' : 'failed'), streams: ended.map((end) => ({ ...NO_COUNTS, stream: end.stream, status: end.status, error: end.error })) };
  }
}
