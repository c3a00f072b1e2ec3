/** Whether anything answers at an address, without a word of the protocol that is spoken there. */
import { connect } from 'node:net';
import { TidemarkError } from '../schemas/errors.ts';

const HINT = 'Check host and port, the name service, that the server runs, and that no firewall is between.';

function failed(code: string | undefined, where: string, host: string): TidemarkError {
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return new TidemarkError('source.host_unknown', `The host name ${host} is not known.`, { hint: 'Check the spelling of host and the name service.' });
  return new TidemarkError('source.unreachable', `${where} ${code === 'ECONNREFUSED' ? 'refused the connection' : 'cannot be reached'}.`, { hint: HINT });
}

/** Resolves when the port takes a connection. Throws `source.host_unknown`, and `source.unreachable` at the latest after `withinMs`, whatever holds it up. */
export function reach({ host, port }: { readonly host: string; readonly port: number }, withinMs: number): Promise<void> {
  const where = `${host}:${port}`;
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const settle = (error?: TidemarkError): void => {
      clearTimeout(timer);
      socket.on('error', () => undefined).destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    const timer = setTimeout(() => settle(new TidemarkError('source.unreachable', `${where} did not answer within ${withinMs / 1000} s.`, { hint: HINT })), withinMs);
    socket.once('connect', () => settle());
    socket.once('error', (error: NodeJS.ErrnoException) => settle(failed(error.code, where, host)));
  });
}
