/**
 * The worker's side of a reader process. A hung or crashed driver becomes an error after a bounded time; the worker never waits for
 * the driver itself. Aborting kills the process: the driver has no cancel, and the server stops a statement whose client is gone.
 */
import type { TidemarkError } from '../../schemas/errors.ts';
import { watchLine, type AwaitedLine, type LineLimits } from '../silent-line.ts';
import { cancelled, fromNative, readerEnded, statementTimeout } from './errors.ts';
import type { DigestAnswer, NativeError, ReaderReply, ReaderRequest, ReadRequest, ServerAnswer, Statement } from './reader-protocol.ts';
import { endProcess, giveBack, takeProcess, type ReaderProcess } from './reader-process.ts';
import { RowStream } from './row-stream.ts';

/** A request without its id. */
type Unsent<Request> = Request extends ReaderRequest ? Omit<Request, 'id'> : never;

interface Pending {
  readonly id: number;
  readonly onReply: (reply: ReaderReply) => void;
  readonly onEnd: (error: TidemarkError) => void;
  /** Of rows: whether more are wanted. */
  readonly awaited?: () => boolean;
}

/** How the server of a session that says nothing is looked at. */
export interface ServerWatch {
  readonly look: AwaitedLine['look'];
  readonly limits: LineLimits | undefined;
}

export type Row = readonly (string | number | boolean | null)[];

const CLOSE_MS = 2_000;
/** Time that the server's own limit gets before the process is killed. */
const GRACE_MS = 2_000;

export class Reader {
  readonly #process: ReaderProcess;
  readonly #signal: AbortSignal;
  #pending: Pending | null = null;
  #stream: RowStream | null = null;
  #ended: TidemarkError | null = null;
  #lastId = 0;
  #opened = false;
  readonly #watch: ServerWatch | null;
  #replies = 0;
  #stopWatch: () => void = () => undefined;

  /** Without a `watch`, silence is bounded by the timeouts only. */
  constructor(signal: AbortSignal, watch: ServerWatch | null = null) {
    this.#signal = signal;
    this.#watch = watch;
    this.#process = takeProcess();
    this.#process.rows.on('error', this.#onExit);
    this.#process.child.on('message', this.#onMessage).on('error', this.#onExit).on('exit', this.#onExit);
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
  }

  get usable(): boolean {
    return this.#ended === null;
  }

  /** Throws a {@link NativeFailure}; `onTimeout` where nothing answers in time. */
  open(driver: string, connectionString: string, timeoutMs: number, onTimeout: () => TidemarkError): Promise<ServerAnswer> {
    return this.#ask<ServerAnswer>({ op: 'open', driver, connectionString }, timeoutMs, onTimeout).then((server) => {
      this.#opened = true;
      return server;
    });
  }

  query(statement: Statement, rowsMax: number, timeoutMs: number): Promise<readonly Row[]> {
    return this.#ask({ op: 'query', ...statement, rowsMax, timeoutSeconds: wholeSeconds(timeoutMs) }, timeoutMs + GRACE_MS, statementTimeout);
  }

  digest(read: ReadRequest, timeoutMs: number): Promise<DigestAnswer> {
    return this.#ask({ op: 'digest', read, timeoutSeconds: wholeSeconds(timeoutMs) }, timeoutMs + GRACE_MS, statementTimeout);
  }

  /** Resolves when the first statement has been executed. `subject` names the table in errors of the stream. */
  read(read: ReadRequest, timeoutMs: number, subject: string): Promise<RowStream> {
    const stream = new RowStream(this.#process.rows, {
      timeoutMs: timeoutMs + GRACE_MS,
      onTimeout: () => this.#end(statementTimeout()),
      onDestroy: () => this.#end(cancelled()),
    });
    this.#stream = stream;
    return new Promise((resolve, reject) => {
      let opened = false;
      const fail = (error: TidemarkError | NativeFailure): void => {
        clearTimeout(timer);
        if (!opened) stream.abandon();
        if (opened) stream.destroy(error instanceof NativeFailure ? fromNative(error.native, subject) : error);
        else reject(error);
      };
      const timer = setTimeout(() => this.#end(statementTimeout()), timeoutMs + GRACE_MS);
      const onReply = (reply: ReaderReply): void => {
        if (reply.event === 'opened') {
          clearTimeout(timer);
          opened = true;
          resolve(stream);
          return;
        }
        this.#pending = null;
        if (reply.event === 'done') stream.finish(reply.rows, reply.bytes);
        if (reply.event === 'failed') fail(new NativeFailure(reply.error));
      };
      this.#send({ op: 'read', read, timeoutSeconds: wholeSeconds(timeoutMs) }, { onReply, onEnd: fail, awaited: () => !opened || stream.awaited });
    });
  }

  /** Never throws; bounded. What is in order waits for the next session, anything else ends. */
  async close(): Promise<void> {
    const inOrder = this.#opened && this.#ended === null && this.#pending === null && (this.#stream === null || this.#stream.complete);
    if (!inOrder) return this.#end(readerEnded());
    const closed = await this.#ask({ op: 'close' }, CLOSE_MS, readerEnded).then(() => true, () => false);
    if (!closed || this.#ended !== null) return this.#end(readerEnded());
    this.#ended = readerEnded();
    this.#leave();
    giveBack(this.#process);
  }

  readonly #onAbort = (): void => this.#end(cancelled());
  readonly #onExit = (): void => this.#end(readerEnded());
  readonly #onMessage = (message: unknown): void => this.#onReply(message as ReaderReply);

  #leave(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#process.child.off('message', this.#onMessage).off('error', this.#onExit).off('exit', this.#onExit);
    this.#process.rows.off('error', this.#onExit);
  }

  #ask<Answer>(request: Unsent<ReaderRequest>, timeoutMs: number, onTimeout: () => TidemarkError): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#end(onTimeout()), timeoutMs);
      const onReply = (reply: ReaderReply): void => {
        clearTimeout(timer);
        this.#pending = null;
        if (reply.event === 'answer') resolve(reply.value as Answer);
        else if (reply.event === 'failed') reject(new NativeFailure(reply.error));
      };
      const onEnd = (error: TidemarkError): void => {
        clearTimeout(timer);
        reject(error);
      };
      this.#send(request, { onReply, onEnd });
    });
  }

  #send(request: Unsent<ReaderRequest>, pending: Omit<Pending, 'id'>): void {
    if (this.#ended !== null) return pending.onEnd(this.#ended);
    if (this.#pending !== null) throw new Error('A session is for one call at a time.');
    this.#lastId += 1;
    const id = this.#lastId;
    this.#pending = { id, ...pending };
    if (request.op !== 'open' && request.op !== 'close') this.#startWatch(pending.awaited ?? (() => true));
    this.#process.child.send({ id, ...request }, (error) => {
      if (error !== null && this.#pending?.id === id) this.#end(readerEnded());
    });
  }

  /** Until the request has its last reply. */
  #startWatch(awaited: () => boolean): void {
    this.#stopWatch();
    if (this.#watch === null) return;
    const line: AwaitedLine = {
      heard: () => this.#process.rows.bytesRead + this.#replies,
      awaited,
      look: this.#watch.look,
      giveUp: (error) => this.#end(error),
    };
    this.#stopWatch = watchLine(line, this.#watch.limits);
  }

  #onReply(reply: ReaderReply): void {
    if (this.#pending?.id !== reply.id) return;
    this.#replies += 1;
    this.#pending.onReply(reply);
    if (this.#pending === null) this.#stopWatch();
    // After a crash inside the driver its handles can't be trusted.
    if (reply.event === 'failed' && reply.error.fault === 'crash') this.#end(readerEnded());
  }

  #end(error: TidemarkError): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#stopWatch();
    this.#signal.removeEventListener('abort', this.#onAbort);
    endProcess(this.#process);
    const pending = this.#pending;
    this.#pending = null;
    pending?.onEnd(error);
    if (this.#stream !== null && !this.#stream.complete) this.#stream.destroy(error);
  }
}

/** The driver said no; the caller knows what it asked for and makes it a {@link TidemarkError}. */
export class NativeFailure extends Error {
  readonly native: NativeError;

  constructor(native: NativeError) {
    super('the native driver failed');
    this.native = native;
  }
}

function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
