/** Connections that are slow, reset or cancelled in the middle of the rows: a stream never ends as if it were complete. */
import { createServer, connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { TidemarkError } from '../../schemas/errors.ts';
import { onFileEnd } from '../support/release.ts';
import { readRows } from './copy-text.ts';
import { openSession, readOf, type Ground } from './place.ts';

/** Rows that no socket's buffers hold. */
const DOUBLINGS = 16;
const NAME = 'n'.repeat(55);
const WHOLE = { from: null, to: null, rowEstimate: -1 };

interface Way {
  readonly port: number;
  /** Cuts all connections at the next bytes of the server. */
  reset(): void;
  /** Bytes of the server that pass at once; the next ones wait a little. */
  slow(bytes: number): void;
}

/** A way to the server that a test can spoil. */
async function wayTo(host: string, port: number): Promise<Way> {
  let piece = Number.POSITIVE_INFINITY;
  let cut = false;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port, host);
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', () => undefined).on('close', () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on('data', (bytes) => {
      if (cut) return client.resetAndDestroy();
      upstream.pause();
      const pass = (from: number): void => {
        if (from >= bytes.length) return void upstream.resume();
        client.write(bytes.subarray(from, from + piece), () => (piece === Number.POSITIVE_INFINITY ? pass(from + piece) : setTimeout(() => pass(from + piece), 1)));
      };
      pass(0);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onFileEnd(async () => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, reset: () => (cut = true), slow: (bytes) => (piece = bytes) };
}

export function badConnections(ground: () => Ground): void {
  const way = async (): Promise<Way> => {
    const { host, port } = ground().place.connection;
    return wayTo(String(host), Number(port));
  };
  const through = (port: number, signal?: AbortSignal) => openSession(ground().manifest, { ...ground().place.connection, host: '127.0.0.1', port }, signal);

  beforeAll(async () => {
    const { place } = ground();
    await place.run('CREATE TABLE many (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(60))');
    await place.run(`INSERT INTO many VALUES (0, '${NAME}')`);
    for (let power = 0; power < DOUBLINGS; power += 1) await place.run(`INSERT INTO many SELECT id + ${2 ** power}, name FROM many`);
  });

  /** Takes the first rows, spoils what there is to spoil, and reads on; how the stream ended. */
  async function endOf(spoil: (controller: AbortController, way: Way) => void): Promise<{ end: string; bytes: number }> {
    const path = await way();
    const controller = new AbortController();
    const session = await through(path.port, controller.signal);
    const read = await session.readPart({ ...(await readOf(session, 'many', null)), fetchRows: 100 }, WHOLE, 'copy-text');
    let bytes = 0;
    try {
      for await (const chunk of read.stream as AsyncIterable<Buffer>) {
        if (bytes === 0) spoil(controller, path);
        bytes += chunk.length;
      }
      return { end: 'complete', bytes };
    } catch (error) {
      return { end: error instanceof TidemarkError ? `${error.code} ${error.retry}` : 'other', bytes };
    } finally {
      await session.close();
    }
  }

  test('a connection that is reset in the middle fails the read, as something that may be tried again', async () => {
    const { end, bytes } = await endOf((_controller, path) => path.reset());
    expect(end).toMatch(/^source\.\w+ (unreachable|transient)$/);
    expect(bytes).toBeLessThan(2 ** DOUBLINGS * NAME.length);
  });

  test('a cancel in the middle fails the read', async () => {
    const { end, bytes } = await endOf((controller) => controller.abort());
    expect(end).not.toBe('complete');
    expect(bytes).toBeLessThan(2 ** DOUBLINGS * NAME.length);
  });

  test('a slow connection gives every row', async () => {
    const path = await way();
    const session = await through(path.port);
    const stream = await readOf(session, 'many', null);
    path.slow(30_000);
    const { rows } = await readRows(await session.readPart(stream, WHOLE, 'copy-text'), 2);
    expect(rows.length).toBe(2 ** DOUBLINGS);
    await session.close();
  });

  test('a session that was cut off says so at the next call', async () => {
    const path = await way();
    const session = await through(path.port);
    path.reset();
    const error: unknown = await session.describe('many', {}).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TidemarkError);
    expect((error as TidemarkError).retry).toMatch(/unreachable|transient/);
    await session.close();
  });
}
