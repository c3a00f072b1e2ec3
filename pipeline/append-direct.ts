/**
 * New rows of an append straight into the target, without a stage: rows, ledger row and watermark commit in the transaction of the copy.
 * Only where every row is expected to be new; one that is not fails the copy by the target's key, and the range is read again into the stage.
 *
 * Many rows are cut into batches of which two are copied side by side, each from a session of its own into a transaction of its own. They are read and
 * commit in the order of the cursor, so the watermark never runs ahead of the rows; a batch that fails takes those after it with it.
 */
import type { SourceSession } from '../connectors/connector.ts';
import { batchTransaction, forgetSideBatches, markLoaded, openBatch, requireOpenRun, sideStep, type BatchStep, type Staged } from '../destinations/postgres/batch.ts';
import { takesNewRows } from '../destinations/postgres/direct.ts';
import { isDeadlock, isKnownRow } from '../destinations/postgres/errors.ts';
import { advanceWatermark, writeLedger } from '../destinations/postgres/ledger.ts';
import { copyInSql } from '../destinations/postgres/stage.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { Turn } from './append-turn.ts';
import { copyRows } from './copy-rows.ts';
import { withSpareSource, type Engine, type OnProgress } from './engine.ts';
import { faultPoint } from './fault-point.ts';
import { maskOf } from './masks/masking.ts';
import { openRange, rowsMaxOf, type Attempt, type Base, type OpenRange } from './range-read.ts';
import { requireSameShape } from './source-shape.ts';
import { hasChecks, type StreamPlan } from './stream-plan.ts';

export interface Appended {
  /** Id of the first batch. */
  readonly batch: number;
  readonly batches: number;
  readonly read: number;
  readonly bytes: number;
  readonly more: boolean;
}

/** True where the stream's rows need no look and its last batch had none that the target knew. */
export async function mayAppendDirect(engine: Engine, plan: StreamPlan, step: BatchStep): Promise<boolean> {
  if (plan.mode !== 'append' || !plan.keyProven || hasChecks(plan) || (plan.deletes ?? null) !== null || (plan.retired ?? []).length > 0 || plan.marksDeletes === true) return false;
  return engine.destination.session('looking at a target', (session) => takesNewRows(session, { ...step, target: plan.target }));
}

/**
 * Copies and commits the range that is open, and those that follow it up to the bound of a batch. Returns what was committed, or null where that is nothing
 * since the range has to be read into a stage. What failed after something was committed is told by the next step, which reads it again.
 * The servers' own errors come out as they are.
 */
export async function appendDirect(attempt: Attempt, source: SourceSession, range: OpenRange): Promise<Appended | null> {
  const line = new AppendLine(attempt, range);
  await Promise.all([line.copyAll(source), line.copyBeside()]);
  attempt.signal.throwIfAborted();
  return line.result();
}

interface Link {
  readonly attempt: Attempt;
  readonly range: OpenRange;
  readonly turn: Turn;
}

type Progress = Parameters<OnProgress>[0];

class AppendLine {
  readonly #attempt: Attempt;
  readonly #first: Link;
  /** The one that was opened last: the next begins where it ends. */
  #last: Link;
  #opened = 1;
  #goesOn: boolean;
  #opening: Promise<unknown> = Promise.resolve();
  /** Of the first batch. */
  #failure: unknown = null;
  readonly #progress: Progress[] = [];
  readonly #loaded: (Staged & { readonly batch: number })[] = [];

  constructor(attempt: Attempt, range: OpenRange) {
    this.#attempt = attempt;
    this.#first = { attempt: { ...attempt, onProgress: this.#partOf(0) }, range, turn: new Turn(attempt.open.batch, null) };
    this.#last = this.#first;
    this.#goesOn = this.#maySplit(range);
  }

  async copyAll(source: SourceSession): Promise<void> {
    for (let link: Link | null = this.#first; link !== null; link = await this.#next(source)) await this.#copy(link, source);
  }

  /** One batch on each session, which is given back after it, while there are sessions to spare. */
  async copyBeside(): Promise<void> {
    const { engine, step, signal } = this.#attempt;
    const one = async (source: SourceSession): Promise<void> => {
      const link = await this.#next(source);
      if (link !== null) await this.#copy(link, source);
    };
    while (this.#goesOn && (await withSpareSource(engine, step, signal, one)));
  }

  async result(): Promise<Appended | null> {
    const { engine, step } = this.#attempt;
    if (this.#loaded.length < this.#opened && this.#opened > 1) await engine.destination.session('forgetting batches', (session) => forgetSideBatches(session, step));
    const [first] = this.#loaded;
    if (first === undefined) {
      if (needsStage(this.#failure)) return null;
      throw this.#failure;
    }
    const sum = (of: (staged: Staged) => number): number => this.#loaded.reduce((total, each) => total + of(each), 0);
    return { batch: first.batch, batches: this.#loaded.length, read: sum(({ read }) => read), bytes: sum(({ bytes }) => bytes), more: this.#loaded.at(-1)!.more };
  }

  /** The next batch for a session that is free; null where there is none. */
  #next(source: SourceSession): Promise<Link | null> {
    const next = this.#opening.then(() => this.#open(source)).catch(() => {
      this.#goesOn = false;
      return null;
    });
    this.#opening = next;
    return next;
  }

  async #open(source: SourceSession): Promise<Link | null> {
    if (!this.#goesOn) return null;
    const { engine, step: main } = this.#attempt;
    const before = this.#last;
    const base: Base = { position: before.range.record.to, version: before.attempt.base.version + 1 };
    const step = { ...main, step: sideStep(main.step, this.#opened) };
    const onProgress = this.#partOf(this.#opened++);
    const attempt = { ...this.#attempt, step, open: await openBatch(engine.destination, step), base, onProgress };
    const range = await openRange(attempt, source, false, engine.sideRows);
    this.#goesOn &&= this.#maySplit(range);
    this.#last = { attempt, range, turn: new Turn(attempt.open.batch, before.turn) };
    return this.#last;
  }

  /** All batches of a step together are bounded as one is. */
  #maySplit({ read }: OpenRange): boolean {
    return read.short === true && read.more && (this.#opened + 1) * this.#attempt.engine.sideRows <= rowsMaxOf(this.#attempt);
  }

  async #copy(link: Link, source: SourceSession): Promise<void> {
    const { attempt, range, turn } = link;
    try {
      const staged = await copyAndCommit(attempt, range, turn, source);
      turn.end(true);
      this.#loaded.push({ ...staged, batch: attempt.open.batch });
    } catch (error) {
      turn.end(false);
      this.#goesOn = false;
      if (link === this.#first) this.#failure = error;
    } finally {
      range.read.stream.destroy();
    }
  }

  /** What one batch tells of itself, added to what the others told. */
  #partOf(at: number): OnProgress {
    return (progress) => {
      this.#progress[at] = progress;
      const sum = (of: (each: Progress) => number): number => this.#progress.reduce((total, each) => total + of(each), 0);
      this.#attempt.onProgress({ bytes: sum(({ bytes }) => bytes), garbage: sum(({ garbage }) => garbage) });
    };
  }
}

async function copyAndCommit(attempt: Attempt, { read, record }: OpenRange, turn: Turn, source: SourceSession): Promise<Staged> {
  const { engine, plan, keys, step, open, base, signal, onProgress } = attempt;
  const loaded = await batchTransaction(engine.destination, open.batch, open.token, async (session) => {
    await requireOpenRun(session, step.runId, open.batch);
    // Nobody waits for the last one.
    if (record.more) await turn.hold(session);
    await session.query("select set_config('tidemark.batch', $1, true)", [String(open.batch)]);
    const names = plan.columns.map((column) => column.name);
    const { rows, bytes, hash } = await copyRows(read, session, copyInSql(plan.target, names, read.format, { marked: false, fresh: false }), signal, onProgress, maskOf(plan, read, keys));
    await requireSameShape(source, plan);
    await turn.take(session);
    const staged: Staged = { ...record, read: rows, bytes, hash };
    const { source: sourceId, stream, generation, runId } = step;
    const counts = { read: rows, written: rows, unchanged: 0, rejected: 0, superseded: 0, deleted: 0 };
    await writeLedger(session, { ...counts, batch: open.batch, source: sourceId, stream, runId, generation, kind: 'range', from: record.from, to: read.to.display, bytes, hash });
    const { guarantee, futureRows, asOf } = record;
    await advanceWatermark(session, { source: sourceId, stream, generation, baseVersion: base.version, position: record.to, guarantee, futureRows, asOf });
    await markLoaded(session, open.batch, open.token, staged);
    await faultPoint('P6');
    return staged;
  });
  await faultPoint('P7');
  return loaded;
}

/** A row that the target, or a batch beside this one, has already, or more rows than may commit together. */
function needsStage(error: unknown): boolean {
  return isKnownRow(error) || isDeadlock(error) || (error instanceof TidemarkError && error.code === 'source.batch_overfull');
}
