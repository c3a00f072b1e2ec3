/** Whether anything answers at an address, without a word of the protocol that is spoken there. */
import { connect, isIP } from 'node:net';
import { TidemarkError } from '../schemas/errors.ts';
import type { NameService } from './name-service.ts';

const HINT = 'Check host and port, the name service, that the server runs, and that no firewall is between.';

export interface ReachOptions {
  /** For the connection, and for the name before it. */
  readonly withinMs: number;
  /** For the name; default: `withinMs`. */
  readonly nameWithinMs?: number;
  /** Default: names are looked up in this process, whose end then waits for the resolver. */
  readonly names?: NameService;
}

function failed(code: string | undefined, where: string, host: string): TidemarkError {
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return new TidemarkError('source.host_unknown', `The host name ${host} is not known.`, { hint: 'Check the spelling of host and the name service.' });
  return new TidemarkError('source.unreachable', `${where} ${code === 'ECONNREFUSED' ? 'refused the connection' : 'cannot be reached'}.`, { hint: HINT });
}

/** Resolves when the port takes a connection. Throws `source.host_unknown`, and `source.unreachable` where name or port are silent, whatever holds them up. */
export async function reach({ host, port }: { readonly host: string; readonly port: number }, { withinMs, nameWithinMs = withinMs, names }: ReachOptions): Promise<void> {
  const lookup = await names?.lookupFor(host);
  const where = `${host}:${port}`;
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host, port, ...(lookup === undefined ? {} : { lookup }) });
    let timer: NodeJS.Timeout | undefined;
    const settle = (error?: TidemarkError): void => {
      clearTimeout(timer);
      socket.removeAllListeners('lookup').on('error', () => undefined).destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    const giveUpAfter = (limitMs: number, what: string): void => {
      clearTimeout(timer);
      // What has arrived while this process was busy comes before the verdict.
      const own = setTimeout(() => setImmediate(() => timer === own && settle(new TidemarkError('source.unreachable', `${what} within ${limitMs / 1000} s.`, { hint: HINT }))), limitMs);
      timer = own;
    };
    const connecting = `${where} did not answer`;
    if (isIP(host) === 0) giveUpAfter(nameWithinMs, `No name service told the address of ${host}`);
    else giveUpAfter(withinMs, connecting);
    socket.once('lookup', (error: Error | null) => error === null && giveUpAfter(withinMs, connecting));
    socket.once('connect', () => settle());
    socket.once('error', (error: NodeJS.ErrnoException) => settle(failed(error.code, where, host)));
  });
}
