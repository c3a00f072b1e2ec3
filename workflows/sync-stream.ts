import { CancellationScope, continueAsNew, ContinueAsNew, isCancellation, patched, proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/activities.ts';
import type { ErrorInfo } from '../schemas/errors.ts';
import { addCounts, NO_COUNTS, type StreamCounts, type StreamStatus } from '../schemas/run.ts';
import { bulkQueue } from '../schemas/task-queue.ts';
import { BATCH, BATCH_RESTARTS_MAX, BOOKKEEPING, FAILED_ATTEMPTS_MAX, NEW_PLANS_MAX, PARTS_IN_FLIGHT, QUESTION } from './activity-options.ts';
import { inParallel } from './in-parallel.ts';
import { CANCELLED, errorOf, failureOf, statusAfter, UNSTABLE, wantsNewPlan, wantsWholeBatch } from './outcome.ts';
import { markStatus, markWorkflow } from './search-attributes.ts';
import { stepName } from './step-name.ts';
import { rows, streamDetails } from './stream-details.ts';
import type { StreamOutcome, SyncStreamInput } from './stream-input.ts';

/** Brings one stream up to date: reads on from its watermark, or builds its target anew. Fails, after writing down why, where it parks. */
export async function syncStream(input: SyncStreamInput): Promise<StreamOutcome> {
  markWorkflow({ ...input, kind: 'stream' });
  const sync = new StreamSync(input);
  let status: StreamStatus;
  let error: ErrorInfo | null = null;
  try {
    status = await sync.run();
  } catch (failure) {
    // Thrown to end this execution; the next one ends the stream.
    if (failure instanceof ContinueAsNew) throw failure;
    if (isCancellation(failure)) {
      await CancellationScope.nonCancellable(() => sync.end('skipped', CANCELLED));
      throw failure;
    }
    error = errorOf(failure);
    status = statusAfter(error);
  }
  await sync.end(status, error);
  if (error !== null) throw failureOf(error);
  return { status, counts: sync.counts };
}

type Building = Extract<Awaited<ReturnType<Activities['prepareStream']>>, { readonly action: 'build' }>;

class StreamSync {
  counts: StreamCounts;
  readonly #input: SyncStreamInput;
  readonly #batch: ReturnType<typeof proxyActivities<Activities>>;
  readonly #question: ReturnType<typeof proxyActivities<Activities>>;
  #notes: readonly string[] = [];
  #sequence = 0;
  #failedAttempts: number;
  #doing = 'preparing';

  constructor(input: SyncStreamInput) {
    this.#input = input;
    this.counts = input.before ?? NO_COUNTS;
    this.#failedAttempts = input.failedAttempts ?? 0;
    const place = { taskQueue: input.queue, priority: { priorityKey: input.priority } };
    this.#batch = proxyActivities<Activities>({ ...BATCH, ...place });
    this.#question = proxyActivities<Activities>({ ...QUESTION, ...place });
    this.#show('preparing');
  }

  /** Carries the plan out. A table that was altered while it was read is looked at again: what it has become decides how the run goes on, or why it stops. */
  async run(): Promise<StreamStatus> {
    for (let altered = 0; ; altered++) {
      const prepared = await this.#prepare();
      try {
        const status = await (prepared.action === 'increment' ? this.#increments(prepared.generation, 'i') : this.#build(prepared));
        if (status === 'completed' && prepared.scan === true) await this.#scan();
        return status;
      } catch (failure) {
        if (!wantsNewPlan(failure) || altered === NEW_PLANS_MAX || !patched('new-plan')) throw failure;
        this.#show('preparing again: the table was altered');
      }
    }
  }

  /** This execution follows another of the same sync. */
  get #goesOn(): boolean {
    return this.#input.chapter !== undefined;
  }

  async #prepare(): ReturnType<Activities['prepareStream']> {
    const { runId, source, stream, full, detectDeletes } = this.#input;
    const prepared = await this.#question.prepareStream({ runId, source, stream, full: full && !this.#goesOn, ...(full && this.#goesOn ? { goesOn: true } : {}), ...(detectDeletes === true ? { detectDeletes } : {}) });
    this.#notes = prepared.notes;
    return prepared;
  }

  /** All that the source had is in the target: what the target has beyond that is deleted at the source. */
  async #scan(): Promise<void> {
    this.#show('scanning for deleted rows');
    const { deleted, bytes, notes, ...attempted } = await this.#wholeBatch((step) => this.#batch.scanDeletes.executeWithOptions({ ...this.#options(BATCH), summary: 'scan for deleted rows' }, [this.#ref(step)]), 'd');
    this.#spend(attempted);
    this.#notes = [...this.#notes, ...notes];
    if (deleted > 0) this.#add({ ...NO_COUNTS, batches: 1, read: deleted, deleted, bytes });
  }

  async end(status: StreamStatus, error: ErrorInfo | null): Promise<void> {
    const { runId, source, stream } = this.#input;
    markStatus(status);
    this.#show(error === null ? status : `${status}: ${error.code}. ${error.message}${error.hint === null ? '' : ` ${error.hint}`}`);
    await proxyActivities<Activities>(BOOKKEEPING).endStream({ runId, source, stream, status, error, notes: this.#notes });
  }

  /** Batches, one after another, until the frozen bound of this run is reached. None is loaded before `keyed` says that there is a key to load by. */
  async #increments(generation: number, kind: 'i' | 'c', keyed?: Promise<boolean>): Promise<StreamStatus> {
    for (;;) {
      const { more, paused } = await this.#wholeBatch((step) => this.#rangeBatch({ ...this.#ref(step), generation }, keyed), kind);
      if (!more) return 'completed';
      if (paused) return 'paused';
      await this.#nextChapter();
    }
  }

  async #rangeBatch(step: Parameters<Activities['extractBatch']>[0], keyed?: Promise<boolean>): Promise<{ more: boolean; paused: boolean }> {
    this.#show('extracting');
    const extracted = await this.#batch.extractBatch.executeWithOptions({ ...this.#options(BATCH), summary: `extract ${step.step}` }, [step]);
    this.#spend(extracted);
    if ((await keyed) === false) return { more: false, paused: false };
    if (extracted.loaded !== undefined) {
      this.#add({ ...extracted.loaded, bytes: extracted.bytes });
      return { more: extracted.more, paused: extracted.paused === true };
    }
    const loaded = await this.#transformAndLoad(extracted.batch, extracted.read, extracted.needsTransform, null);
    this.#add({ ...NO_COUNTS, ...loaded, batches: 1, bytes: extracted.bytes });
    return { more: extracted.more, paused: loaded.paused };
  }

  async #transformAndLoad(batch: number, read: number, needsTransform: boolean, part: number | null) {
    const { runId, source, stream } = this.#input;
    if (needsTransform) this.#spend(await this.#batch.transformBatch.executeWithOptions({ ...this.#options(BATCH), summary: `transform ${rows(read)}` }, [{ batch, part }]));
    this.#show(`loading ${rows(read)}`);
    const loaded = await this.#batch.loadBatch.executeWithOptions({ ...this.#options(BATCH), summary: `load ${rows(read)}` }, [{ runId, source, stream, batch, part }]);
    this.#spend(loaded);
    return loaded;
  }

  async #build({ generation, parts, catchUp, partsAtOnce = PARTS_IN_FLIGHT }: Building): Promise<StreamStatus> {
    let paused = false;
    let left = parts.length;
    await inParallel(parts, Math.min(PARTS_IN_FLIGHT, partsAtOnce), async (part) => {
      if (paused || workflowInfo().continueAsNewSuggested) return;
      paused = (await this.#wholeBatch((step) => this.#part({ ...this.#ref(step), generation, part }), `p${part}`)).paused;
      this.#show(`copying, ${--left} of ${parts.length} parts left`);
    });
    if (paused && left > 0) return 'paused';
    if (left > 0) await this.#nextChapter();
    const ended = await this.#finish(generation, catchUp);
    if (ended === 'paused') return 'paused';
    if (ended === 'unchanged') this.counts = { ...this.counts, unchanged: this.counts.unchanged + this.counts.written, written: 0 };
    return 'completed';
  }

  /** What follows once all parts are copied: in one step where nothing comes between the key and the swap. */
  async #finish(generation: number, catchUp: boolean): Promise<'swapped' | 'unchanged' | 'paused'> {
    const { runId, source, stream } = this.#input;
    const build = { runId, source, stream, generation };
    if (!catchUp && patched('key-and-finish')) {
      this.#show('building the key and swapping the new generation in');
      return this.#batch.keyAndFinish(build);
    }
    if (await this.#keyAndCatchUp(build, catchUp)) return 'paused';
    this.#show('swapping the new generation in');
    return this.#batch.finishBuild(build);
  }

  /** Builds the key while the source is asked for what came during the copy, which is loaded by key. True where a pause came in between. */
  async #keyAndCatchUp(build: Parameters<Activities['keyBuild']>[0], catchUp: boolean): Promise<boolean> {
    this.#show('building the key');
    const key = this.#batch.keyBuild(build);
    if (!catchUp || !patched('catch-up-beside-key')) await key;
    if (!catchUp) return false;
    const keyed = key.then(() => true, () => false);
    // A read that fails first leaves no key half built behind it.
    const status = await this.#increments(build.generation, 'c', keyed).finally(() => keyed);
    await key;
    return status === 'paused';
  }

  async #part(step: Parameters<Activities['copyPart']>[0]): Promise<{ paused: boolean }> {
    const copied = await this.#batch.copyPart.executeWithOptions({ ...this.#options(BATCH), taskQueue: bulkQueue(this.#input.queue), summary: `copy part ${step.part}` }, [step]);
    this.#spend(copied);
    if (!copied.staged) {
      this.#add({ ...NO_COUNTS, batches: 1, read: copied.read, written: copied.read, bytes: copied.bytes });
      return { paused: copied.paused };
    }
    const loaded = await this.#transformAndLoad(copied.batch, copied.read, copied.read > 0, step.part);
    this.#add({ ...NO_COUNTS, ...loaded, batches: 1, bytes: copied.bytes });
    return { paused: loaded.paused };
  }

  /** Tries a batch from the start again where its stage was lost or the watermark moved under it. */
  async #wholeBatch<T>(attempt: (step: string) => Promise<T>, kind: string): Promise<T> {
    for (let restarts = 0; ; restarts++) {
      try {
        return await attempt(stepName(this.#input.poll, this.#input.chapter ?? 0, kind, this.#sequence++));
      } catch (failure) {
        if (!wantsWholeBatch(failure) || restarts === BATCH_RESTARTS_MAX) throw failure;
        this.#spend({ failedAttempts: 1 });
      }
    }
  }

  /** The budget for failures with progress: a stream that only limps on is a matter for a person. */
  #spend({ failedAttempts = 0 }: { readonly failedAttempts?: number }): void {
    this.#failedAttempts += failedAttempts;
    if (this.#failedAttempts > FAILED_ATTEMPTS_MAX) throw failureOf(UNSTABLE);
  }

  /** A long sync goes on in a new execution, so that no history grows without bound; what is done is in the destination. */
  async #nextChapter(): Promise<void> {
    if (!workflowInfo().continueAsNewSuggested) return;
    await continueAsNew<typeof syncStream>({ ...this.#input, before: this.counts, failedAttempts: this.#failedAttempts, chapter: (this.#input.chapter ?? 0) + 1 });
  }

  #ref(step: string) {
    const { runId, source, stream } = this.#input;
    return { runId, source, stream, step };
  }

  #options(options: typeof BATCH) {
    return { ...options, taskQueue: this.#input.queue, priority: { priorityKey: this.#input.priority } };
  }

  #add(counts: StreamCounts): void {
    const { batches, read, written, unchanged, rejected, superseded, deleted, bytes } = counts;
    this.counts = addCounts(this.counts, { batches, read, written, unchanged, rejected, superseded, deleted, bytes });
    this.#show(this.#doing);
  }

  #show(doing: string): void {
    this.#doing = doing;
    setCurrentDetails(streamDetails(this.#input.stream, doing, this.counts));
  }
}
