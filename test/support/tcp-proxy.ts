/** A TCP proxy whose connections a test may cut, stall, slow down, break into bytes, or end after a number of bytes. */
import { createServer, connect } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { onFileEnd } from './release.ts';

type Direction = 'up' | 'down';

/**
 * What happens to connections; without one, bytes pass.
 * - `refuse`: new ones end at once, those that are open are reset.
 * - `black hole`: nothing passes and nothing ends, for those that are open and new ones.
 * - `forget`: what was open is a black hole for ever, new ones pass: a firewall that lost its state.
 * - `trickle`: `bytesPerSecond` each way. `slices`: a few bytes in each packet.
 * - `limit`: each connection is reset after so many bytes from the server.
 */
export type Toxic =
  | { readonly kind: 'refuse' | 'black hole' | 'forget' | 'slices' }
  | { readonly kind: 'trickle'; readonly bytesPerSecond: number }
  | { readonly kind: 'limit'; readonly bytes: number };

/**
 * Looks at what a client sends. From there on its connection is a black hole for ever, while new ones pass: `request`: what was looked at does
 * not arrive; `answer`: it does, and nothing after it.
 */
export type ForgetAt = (fromClient: Buffer) => 'request' | 'answer' | null;

/** Looks at what a client sends; true: its server still gets it, the answer never arrives, and the connection is reset. */
export type CutAnswer = (fromClient: Buffer) => boolean;

const TICK_MS = 50;
const SLICE_BYTES = 7;

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  deaf: boolean;
  down: number;
}

export class TcpProxy {
  readonly host = '127.0.0.1';
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #upstream: { readonly host: string; readonly port: number };
  #toxic: Toxic | null = null;
  #cutAnswer: CutAnswer | null = null;
  #forgetAt: ForgetAt | null = null;
  /** How many connections an answer was kept back from, or ended at their limit. */
  cuts = 0;
  /** Bytes that came in, both ways together. */
  bytes = 0;

  private constructor(upstream: { readonly host: string; readonly port: number }) {
    this.#upstream = upstream;
    this.#server = createServer((client) => this.#accept(client));
  }

  static async before(upstream: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
    const proxy = new TcpProxy(upstream);
    await new Promise<void>((resolve) => proxy.#server.listen(0, proxy.host, resolve));
    onFileEnd(() => proxy.close());
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** What the connections that are open now, and those to come, suffer from now on; null heals, but for what is `forgotten` already. */
  set(toxic: Toxic | null): void {
    this.#toxic = toxic;
    if (toxic?.kind === 'refuse') this.reset();
    if (toxic?.kind === 'forget') for (const pair of this.#pairs) pair.deaf = true;
  }

  /** Ends what is open with a reset. */
  reset(): void {
    for (const { client, server } of this.#pairs) for (const socket of [client, server]) socket.resetAndDestroy();
  }

  forgetAt(look: ForgetAt | null): void {
    this.#forgetAt = look;
  }

  cutAnswerTo(look: CutAnswer | null): void {
    this.#cutAnswer = look;
  }

  close(): void {
    this.reset();
    this.#server.close();
  }

  #accept(client: Socket): void {
    if (this.#toxic?.kind === 'refuse') return void client.resetAndDestroy();
    const pair: Pair = { client, server: connect(this.#upstream), deaf: false, down: 0 };
    this.#pairs.add(pair);
    for (const socket of [pair.client, pair.server]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        // That its server has ended is not told either.
        if (pair.deaf && socket === pair.server && !pair.client.destroyed) return;
        this.#pairs.delete(pair);
        for (const other of [pair.client, pair.server]) if (!other.destroyed) other.end();
      });
    }
    void this.#carry(pair, 'up');
    void this.#carry(pair, 'down');
  }

  async #carry(pair: Pair, direction: Direction): Promise<void> {
    const [from, to] = direction === 'up' ? [pair.client, pair.server] : [pair.server, pair.client];
    try {
      for await (const chunk of from) if (!(await this.#pass(pair, direction, to, chunk as Buffer))) return;
    } catch {
      // Cut: the other side is told by the end of its socket.
    }
    if (!pair.deaf) to.end();
  }

  /** False where this connection has come to its end. */
  async #pass(pair: Pair, direction: Direction, to: Socket, chunk: Buffer): Promise<boolean> {
    this.bytes += chunk.length;
    const forgets = direction === 'up' && !pair.deaf ? (this.#forgetAt?.(chunk) ?? null) : null;
    if (forgets === 'answer') to.write(chunk);
    pair.deaf ||= forgets !== null;
    while ((pair.deaf || this.#toxic?.kind === 'black hole') && !to.destroyed) await pause();
    if (direction === 'up' && this.#cutAnswer?.(chunk) === true) {
      this.cuts += 1;
      // The server's answer, and whatever it says after it, is read and dropped.
      pair.deaf = true;
      to.write(chunk);
      await pause();
      await pause();
      for (const socket of [pair.client, pair.server]) socket.resetAndDestroy();
      return false;
    }
    if (direction === 'down') {
      pair.down += chunk.length;
      if (this.#toxic?.kind === 'limit' && pair.down > this.#toxic.bytes) {
        this.cuts += 1;
        for (const socket of [pair.client, pair.server]) socket.resetAndDestroy();
        return false;
      }
    }
    return this.#write(to, chunk);
  }

  async #write(to: Socket, chunk: Buffer): Promise<boolean> {
    const bytes = this.#toxic?.kind === 'trickle' ? Math.max(1, Math.floor((this.#toxic.bytesPerSecond * TICK_MS) / 1000)) : this.#toxic?.kind === 'slices' ? SLICE_BYTES : chunk.length;
    for (let at = 0; at < chunk.length; at += bytes) {
      if (to.destroyed) return false;
      if (!to.write(chunk.subarray(at, at + bytes))) await drained(to);
      if (this.#toxic?.kind === 'trickle') await pause();
      else if (this.#toxic?.kind === 'slices') await new Promise((resolve) => setImmediate(resolve));
    }
    return true;
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, TICK_MS));

const drained = (socket: Socket) =>
  new Promise<void>((resolve) => {
    socket.once('drain', resolve);
    socket.once('close', resolve);
  });
