import { createServer } from 'node:net';
import { TidemarkError } from '../schemas/errors.ts';

function tryListen(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      const taken = typeof address === 'object' && address !== null ? address.port : null;
      server.close(() => resolve(taken));
    });
  });
}

export async function portIsFree(port: number): Promise<boolean> {
  return (await tryListen(port)) !== null;
}

/** A port of 127.0.0.1 that was free a moment ago: `preferred` if it is, else any. */
export async function freePort(preferred?: number): Promise<number> {
  const port = (preferred === undefined ? null : await tryListen(preferred)) ?? (await tryListen(0));
  if (port === null) throw new TidemarkError('up.port_in_use', 'No free port was found on 127.0.0.1.');
  return port;
}

/** Throws `up.port_in_use` with the option that chooses another one. */
export async function requireFreePort(port: number, option: string): Promise<void> {
  if (await portIsFree(port)) return;
  throw new TidemarkError('up.port_in_use', `Port ${port} of 127.0.0.1 is in use by another program.`, {
    hint: `Choose another one with ${option} PORT, or end the program that uses it.`,
  });
}
