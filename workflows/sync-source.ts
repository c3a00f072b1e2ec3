import {
  ApplicationFailure,
  CancellationScope,
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  executeChild,
  patched,
  isCancellation,
  ParentClosePolicy,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/activities.ts';
import type { CheckedSource, CheckRequest, RunSummary } from '../activities/messages.ts';
import type { RunScope } from '../schemas/run.ts';
import { syncInputSchema, type SyncInput, type SyncRequest } from '../schemas/sync-input.ts';
import { BOOKKEEPING, POLL, POLL_SYNC, QUESTION, STREAMS_IN_FLIGHT, TURN, TURN_LATER } from './activity-options.ts';
import { inParallel } from './in-parallel.ts';
import { errorOf, failureOf, statusAfter } from './outcome.ts';
import { firstTick, formerPhaseOf, nextTick, phaseOf, windowEnd } from './poll-clock.ts';
import { notCompleted, summaryTable } from './run-summary.ts';
import { markStatus, markWorkflow } from './search-attributes.ts';
import { stepName } from './step-name.ts';
import { syncStream } from './sync-stream.ts';

/** Asks a poll window to let a run that a person asked for go first; it goes on afterwards. */
export const giveWaySignal = defineSignal('giveWay');
/** Makes a poll window poll at once. */
export const syncNowUpdate = defineUpdate<void>('syncNow');
/** Pauses the source of this run between batches; later runs find it paused. */
export const pauseUpdate = defineUpdate<void>('pause');
export const resumeUpdate = defineUpdate<void>('resume');
export const progressQuery = defineQuery<Progress>('progress');

export interface Progress {
  readonly source: string;
  readonly phase: 'waiting' | 'polling' | 'syncing' | 'resting' | 'ended';
  readonly polls: number;
  readonly running: readonly string[];
}

const question = proxyActivities<Activities>(QUESTION);
const turns = proxyActivities<Activities>(TURN);
const bookkeeping = proxyActivities<Activities>(BOOKKEEPING);
const poll = proxyLocalActivities<Pick<Activities, 'checkSource' | 'pollSource'>>(POLL);
const pollSync = proxyLocalActivities<Pick<Activities, 'syncInPoll'>>(POLL_SYNC);

/** One run of a source: its turn, the check, a child for each stream that has something new, the summary. A window does that every few seconds. */
export async function syncSource(input: SyncInput): Promise<RunSummary | { readonly sharedRunId: string }> {
  const request = parseInput(input);
  const run = new SourceRun(request);
  markWorkflow({ source: request.source, runId: run.runId, kind: 'sync' });
  try {
    const shared = await run.takeTurn();
    if (shared !== null) return { sharedRunId: shared };
    if (request.trigger === 'window') await run.window();
    else await run.pass();
  } catch (failure) {
    await CancellationScope.nonCancellable(() => run.end(isCancellation(failure) ? 'cancelled' : 'failed'));
    throw isCancellation(failure) ? failure : failureOf(errorOf(failure));
  }
  const summary = await run.end(null);
  if (summary.status === 'failed') throw failureOf(notCompleted(summary));
  return summary;
}

class SourceRun {
  readonly runId = workflowInfo().firstExecutionRunId;
  readonly #request: SyncRequest;
  #phase: Progress['phase'] = 'waiting';
  #polls = 0;
  /** Of a window: the instant of the last poll. */
  #tick = 0;
  readonly #running = new Set<string>();
  /** Streams whose own workflow did not end well; it may not have come to write down why. */
  readonly #unfinished = new Set<string>();
  #giveWay = false;
  #syncNow = false;
  #breakerTold = false;

  constructor(request: SyncRequest) {
    this.#request = request;
    const { source } = request;
    setHandler(giveWaySignal, () => void (this.#giveWay = true));
    setHandler(syncNowUpdate, () => void (this.#syncNow = true));
    setHandler(pauseUpdate, () => bookkeeping.setPaused({ source, stream: null, paused: true }));
    setHandler(resumeUpdate, () => bookkeeping.setPaused({ source, stream: null, paused: false }));
    setHandler(progressQuery, () => ({ source, phase: this.#phase, polls: this.#polls, running: [...this.#running] }));
    this.#show();
  }

  /** Waits until this run is its source's only one. Returns the id of the run that it shares, or null. */
  async takeTurn(): Promise<string | null> {
    const { source, trigger } = this.#request;
    const { workflowId, runId: workflowRunId } = workflowInfo();
    this.#enter('waiting');
    for (;;) {
      const turn = await turns.takeTurn({ runId: this.runId, source, trigger, scope: this.#scope(), workflowId, workflowRunId });
      if (turn.state === 'active') return null;
      if (turn.state === 'shared') {
        const ended = await this.#endOf(turn.runId);
        // Whoever ended that run did not mean this one.
        if (ended !== 'cancelled' && ended !== 'lost') return turn.runId;
      } else if (trigger !== 'manual' && patched('turn-later')) await sleep(TURN_LATER);
    }
  }

  async #endOf(runId: string): Promise<string> {
    for (;;) {
      const ended = await turns.awaitRun(runId);
      if (ended !== false) return ended;
    }
  }

  /** Polls at fixed instants until the window's end, giving way to runs that people ask for. */
  async window(): Promise<void> {
    const every = (this.#request.everySeconds ?? 30) * 1_000;
    const end = windowEnd(Date.now(), (this.#request.windowSeconds ?? 300) * 1_000, this.#request.windowOffsetSeconds * 1_000);
    const phase = (patched('even-phases') ? phaseOf : formerPhaseOf)(this.#request.source, every);
    for (let tick = firstTick(Date.now(), every, phase); tick < end; tick = nextTick(Date.now(), this.#tick, every)) {
      this.#tick = tick;
      this.#enter('resting');
      const rest = tick - Date.now();
      if (rest > 0) await condition(() => this.#giveWay || this.#syncNow, rest);
      if (this.#giveWay) await this.#letOthersGo();
      this.#syncNow = false;
      if (!(await this.pass(end))) return;
    }
  }

  async #letOthersGo(): Promise<void> {
    await bookkeeping.giveWay({ runId: this.runId, source: this.#request.source });
    this.#giveWay = false;
    await this.takeTurn();
  }

  /** One look at the source, and a child workflow for each stream that may have something new. False where the window is over before its time. */
  async pass(until?: number): Promise<boolean> {
    const { source, trigger } = this.#request;
    this.#enter('polling');
    const request = { runId: this.runId, source, trigger, scope: this.#scope(), poll: this.#polls++, everySeconds: this.#request.everySeconds };
    let checked: CheckedSource;
    try {
      checked = await (trigger === 'window' ? this.#poll(request, until ?? 0) : question.checkSource(request));
    } catch (failure) {
      if (isCancellation(failure)) throw failure;
      const error = errorOf(failure);
      if (trigger === 'window' && error.code === 'usage.unknown_source') return false;
      if (error.code.startsWith('usage.') || error.code.startsWith('target.')) throw failure;
      // Later polls of a window that still find the breaker open have nothing to add.
      if (error.code !== 'source.breaker_open' || !this.#breakerTold) await bookkeeping.endSource({ ...request, error, status: statusAfter(error) });
      this.#breakerTold = error.code === 'source.breaker_open';
      return true;
    }
    this.#breakerTold = false;
    if (checked.over) return false;
    if (checked.giveWay) this.#giveWay = true;
    this.#enter('syncing');
    await inParallel(checked.changed, STREAMS_IN_FLIGHT, (stream) => this.#syncOne(stream, this.#polls - 1, checked));
    return true;
  }

  /** One poll, or a few that are close together. */
  async #poll(request: CheckRequest, until: number): Promise<CheckedSource> {
    if (!patched('polls-in-one-task')) return poll.checkSource(request);
    const polled = await poll.pollSource({ ...request, tick: this.#tick, until });
    this.#polls += polled.polls - 1;
    this.#tick = polled.tick;
    return polled;
  }

  /** One stream's trouble is its own: its child has written it down, and its neighbours go on. */
  async #syncOne(stream: string, pollNumber: number, checked: CheckedSource): Promise<void> {
    const { source, full, detectDeletes } = this.#request;
    this.#running.add(stream);
    this.#show();
    try {
      if (!(await this.#syncedInPoll(stream, pollNumber))) {
        await executeChild(syncStream, {
          workflowId: `${workflowInfo().workflowId}/${pollNumber}/${stream}`,
          args: [{ runId: this.runId, source, stream, full, ...(detectDeletes ? { detectDeletes } : {}), poll: pollNumber, queue: checked.queue, priority: checked.priority }],
          staticSummary: `${source} ${stream}`.slice(0, 200),
          parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
          priority: { priorityKey: checked.priority },
        });
      }
      this.#unfinished.delete(stream);
    } catch (failure) {
      if (isCancellation(failure)) throw failure;
      this.#unfinished.add(stream);
    } finally {
      this.#running.delete(stream);
      this.#show();
    }
  }

  /** A poll that found a little brings it itself; a run that a person asked for shows each step. */
  async #syncedInPoll(stream: string, pollNumber: number): Promise<boolean> {
    const { source, trigger } = this.#request;
    if (trigger !== 'window' || !patched('sync-in-poll')) return false;
    try {
      return await pollSync.syncInPoll({ runId: this.runId, source, stream, step: stepName(pollNumber, 0, 'i', 0) });
    } catch (failure) {
      if (isCancellation(failure)) throw failure;
      return false;
    }
  }

  #scope(): RunScope {
    const { streams, full, detectDeletes } = this.#request;
    return { streams, full, ...(detectDeletes ? { detectDeletes } : {}) };
  }

  async end(status: RunSummary['status'] | null): Promise<RunSummary> {
    this.#enter('ended');
    const summary = await bookkeeping.endRun({ runId: this.runId, source: this.#request.source, status, polls: this.#polls, unfinished: [...this.#unfinished] });
    markStatus(summary.status);
    setCurrentDetails(summaryTable(summary));
    return summary;
  }

  #enter(phase: Progress['phase']): void {
    this.#phase = phase;
    this.#show();
  }

  #show(): void {
    const running = [...this.#running];
    setCurrentDetails(`**${this.#request.source}**: ${this.#phase}, poll ${this.#polls}\n\n${running.map((stream) => `- ${stream}\n`).join('')}`);
  }
}

function parseInput(input: SyncInput): SyncRequest {
  const parsed = syncInputSchema.safeParse(input ?? {});
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'input'}: ${issue.message}`).join('; ');
  throw ApplicationFailure.create({ type: 'usage.invalid', nonRetryable: true, message: `The input is not understood: ${problems}. The smallest input is {"source":"<id>"}.` });
}
