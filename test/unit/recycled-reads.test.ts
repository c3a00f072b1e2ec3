/** Buffers that a socket reads into again and again: what is held stays as it is. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { RecycledReads } from '../../connectors/postgres/recycled-reads.ts';

const MIB = 1 << 20;

/** Bytes that tell their place. */
const numbers = (from: number, length: number): Buffer => Buffer.from(Uint32Array.from({ length: length / 4 }, (_, index) => from + index).buffer);

describe('buffers of a socket', () => {
  let server: Server;
  let peer: Socket;
  let reads: RecycledReads;

  beforeEach(async () => {
    server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    reads = new RecycledReads();
    reads.socket.connect((server.address() as AddressInfo).port, '127.0.0.1');
    [peer] = (await once(server, 'connection')) as [Socket];
  });

  afterEach(() => {
    reads.socket.destroy();
    peer.destroy();
    server.close();
  });

  /** Sends numbers from `from` on until the reader has seen as many bytes; `see` gets each piece. */
  async function receive(from: number, length: number, see: (piece: Buffer) => void): Promise<void> {
    let left = length;
    const done = new Promise<void>((resolve) => {
      reads.readBy((piece) => {
        see(piece);
        left -= piece.length;
        if (left === 0) resolve();
      });
    });
    reads.socket.resume();
    peer.write(numbers(from, length));
    await done;
  }

  test('pieces that are held keep their bytes, however much follows', async () => {
    const held: Buffer[] = [];
    await receive(7, 4 * MIB, (piece) => {
      reads.hold(piece);
      held.push(piece);
    });
    expect(Buffer.concat(held).equals(numbers(7, 4 * MIB))).toBe(true);
    expect(new Set(held.map(({ buffer }) => buffer)).size).toBe(held.length);
  });

  test('what is given back is read into again, and only once nobody holds any of it', async () => {
    const memory = new Set<ArrayBufferLike>();
    const kept: { readonly half: Buffer; readonly at: number }[] = [];
    let at = 0;
    await receive(1, 4 * MIB, (piece) => {
      memory.add(piece.buffer);
      const middle = piece.length >> 1;
      const halves = [piece.subarray(0, middle), piece.subarray(middle)] as const;
      halves.forEach((half) => reads.hold(half));
      reads.release(halves[0]);
      if (kept.length < 3) kept.push({ half: halves[1], at: at + middle });
      else reads.release(halves[1]);
      at += piece.length;
    });
    expect(memory.size).toBeLessThanOrEqual(5);
    const sent = numbers(1, 4 * MIB);
    expect(kept.map((each) => each.half.equals(sent.subarray(each.at, each.at + each.half.length)))).toEqual([true, true, true]);
  });

  test('it pauses, and goes on where it was', async () => {
    const seen: Buffer[] = [];
    reads.readBy((piece) => {
      seen.push(Buffer.from(piece));
      reads.socket.pause();
    });
    reads.socket.resume();
    peer.write(numbers(1, MIB));
    while (Buffer.concat(seen).length < MIB) {
      await new Promise((resolve) => setImmediate(resolve));
      if (reads.socket.isPaused()) reads.socket.resume();
    }
    expect(Buffer.concat(seen).equals(numbers(1, MIB))).toBe(true);
  });

  test('without a reader it gives its data as any socket does, in memory of its own', async () => {
    await receive(1, MIB, () => undefined);
    reads.readBy(null);
    const seen: Buffer[] = [];
    reads.socket.on('data', (bytes: Buffer) => seen.push(bytes));
    reads.socket.resume();
    peer.end(numbers(3, MIB));
    await once(reads.socket, 'end');
    expect(Buffer.concat(seen).equals(numbers(3, MIB))).toBe(true);
  });
});
