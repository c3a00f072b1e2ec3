/**
 * Bounds how long an answer of the destination is waited for. A line may stay open and say nothing for ever: its server is frozen, or a box on the
 * way swallows what passes and answers keep-alives itself. Whoever waits on such a line gets an error, and tries again on another one.
 */
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Writable } from 'node:stream';
import type pg from 'pg';
import { TidemarkError } from '../../schemas/errors.ts';
import { judgeLine, type Look, type ServerView, type Verdict } from './line-verdict.ts';
import type { Session } from './session.ts';
import { SessionViews, type BackendId } from './session-views.ts';

export interface LineLimits {
  /** How long a line may say nothing before its server is asked. */
  readonly silenceMs: number;
  /** Between two looks at a silent line. */
  readonly lookEveryMs: number;
  /** How long a new connection may take until it has answered. */
  readonly answerMs: number;
  /** New connections in a row that are not answered before silent lines are given up. */
  readonly missesMax: number;
}

/** A deaf line is given up within a minute, a server that answers nobody within a minute and a half. */
export const LINE_LIMITS: LineLimits = { silenceMs: 20_000, lookEveryMs: 10_000, answerMs: 10_000, missesMax: 3 };

/** Beyond so many intervals, or so long, this process slept or was busy: what it has not heard proves nothing. */
const OVERSLEPT = 3;
const OVERSLEPT_MS = 5_000;

/** The first questions of a session are answered at once by a server that answers others. */
const NOT_YET_KNOWN: ServerView = { waits: true, idle: true, mark: '' };

interface Line {
  /** Null until the session has told. */
  backend: BackendId | null;
  readonly socket: Socket;
  readonly session: Session;
  /** Bytes sent when the server last said that it was ready: more means that an answer is due. */
  sentWhenReady: number;
  heard: number;
  /** Of {@link performance.now}. */
  quietSince: number;
  looks: Look[];
}

/** COPYs that are fed, by their session. */
const feeds = new WeakMap<object, Writable>();

/** A session waits for the feeder of its COPY, not for the server, until that one has ended. */
export function noteFeed(session: Session, feed: Writable): void {
  feeds.set(session, feed);
}

/** Watches the lines of one pool. */
export class LineWatch {
  readonly #limits: LineLimits;
  readonly #views: SessionViews;
  readonly #lines = new Map<object, Line>();
  #timer: NodeJS.Timeout | null = null;
  #lastTick = 0;
  #looking = false;
  #misses = 0;

  constructor(connection: pg.ClientConfig, limits: LineLimits) {
    this.#limits = limits;
    this.#views = new SessionViews(connection, limits.answerMs);
  }

  /** From now on until {@link forget}; to be called while the session is idle. */
  add(session: Session): void {
    const socket = session.connection.stream as Socket;
    const line: Line = { backend: null, socket, session, sentWhenReady: socket.bytesWritten, heard: socket.bytesRead, quietSince: performance.now(), looks: [] };
    // Before the driver's own listener, which sends the next statement.
    session.connection.prependListener('readyForQuery', () => (line.sentWhenReady = socket.bytesWritten));
    this.#lines.set(session, line);
    this.#timer ??= this.#start();
  }

  /** Who the session is at its server. */
  identify(session: Session, backend: BackendId): void {
    const line = this.#lines.get(session);
    if (line !== undefined) line.backend = backend;
  }

  forget(session: Session): void {
    this.#lines.delete(session);
    if (this.#lines.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #start(): NodeJS.Timeout {
    this.#lastTick = performance.now();
    return setInterval(() => this.#tick(), this.#limits.lookEveryMs).unref();
  }

  #tick(): void {
    const now = performance.now();
    const overslept = now - this.#lastTick > Math.max(OVERSLEPT * this.#limits.lookEveryMs, OVERSLEPT_MS);
    this.#lastTick = now;
    for (const line of this.#lines.values()) {
      if (!overslept && isOwed(line) && line.socket.bytesRead === line.heard) continue;
      Object.assign(line, { heard: line.socket.bytesRead, quietSince: now, looks: [] });
    }
    const silent = [...this.#lines.values()].filter(({ quietSince }) => now - quietSince >= this.#limits.silenceMs);
    if (silent.length === 0) this.#misses = 0;
    if (silent.length === 0 || this.#looking) return;
    this.#looking = true;
    void this.#look(silent).finally(() => (this.#looking = false));
  }

  async #look(silent: readonly Line[]): Promise<void> {
    const quiet = silent.map((line) => ({ line, quietSince: line.quietSince }));
    const views = await this.#views.ask(silent.flatMap(({ backend }) => backend ?? []));
    // What was heard meanwhile, and what is no longer waited for, is not judged.
    const still = quiet.filter(({ line, quietSince }) => this.#lines.has(line.session) && line.quietSince === quietSince && isOwed(line) && line.socket.bytesRead === line.heard).map(({ line }) => line);
    this.#misses = views === 'unanswered' ? this.#misses + 1 : 0;
    if (views === 'unanswered' && this.#misses >= this.#limits.missesMax) for (const line of still) giveUp(line, unanswering());
    if (typeof views === 'string') return;
    for (const line of still) {
      line.looks.push({ server: line.backend === null ? NOT_YET_KNOWN : (views.get(line.backend) ?? null), sent: line.socket.bytesWritten, clientWaits: clientWaits(line) });
      const verdict = judgeLine(line.looks);
      if (verdict === 'alive') continue;
      giveUp(line, silentLine(verdict));
      if (verdict === 'deaf' && line.backend !== null) await this.#views.end(line.backend);
    }
  }
}

function isOwed({ socket, sentWhenReady }: Line): boolean {
  return !socket.destroyed && socket.bytesWritten > sentWhenReady;
}

function clientWaits({ session, socket }: Line): boolean {
  const feed = feeds.get(session);
  const feeding = feed !== undefined && !feed.writableEnded && !feed.destroyed;
  return !feeding || feed.writableNeedDrain || socket.writableLength > 0;
}

/** Whatever waits for this line fails with the error; the pool does not use it again. */
function giveUp({ socket }: Line, error: TidemarkError): void {
  socket.destroy(error);
}

function unanswering(): TidemarkError {
  return new TidemarkError('target.unreachable', 'The destination answers neither on the connection that is open nor on a new one.', { hint: 'Check that PostgreSQL is not stopped or out of memory, and the network between this worker and it.' });
}

function silentLine(verdict: Exclude<Verdict, 'alive'>): TidemarkError {
  const says = verdict === 'gone' ? 'The destination has ended the session, and its word of that never arrived.' : 'Nothing passes any more on a connection to the destination that stays open.';
  return new TidemarkError('target.connection_lost', says, { hint: 'It is tried again on a new connection. A firewall or proxy between this worker and the destination may have dropped it.' });
}
