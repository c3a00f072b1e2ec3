/** Whether a port answers is known in bounded time, and why not is told apart. */
import { createServer, type AddressInfo } from 'node:net';
import { reach } from '../../connectors/reach.ts';
import { freePort } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';

test('a port that takes connections is reached, though it says nothing', async () => {
  const server = createServer((socket) => void socket.on('error', () => undefined));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onFileEnd(() => void server.close());
  await expect(reach({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }, { withinMs: 10_000 })).resolves.toBeUndefined();
});

test('a closed port', async () => {
  await expect(reach({ host: '127.0.0.1', port: await freePort() }, { withinMs: 10_000 })).rejects.toMatchObject({ code: 'source.unreachable', message: expect.stringContaining('refused') });
});

test('nothing answers in the time that was given', async () => {
  await expect(reach({ host: '127.0.0.1', port: await freePort() }, { withinMs: 0 })).rejects.toMatchObject({ code: 'source.unreachable' });
});

test('an unknown host', async () => {
  // No name at all, so that no name service is asked, which may be slow.
  await expect(reach({ host: 'no-such-host..invalid', port: 1 }, { withinMs: 60_000 })).rejects.toMatchObject({ code: 'source.host_unknown' });
});
