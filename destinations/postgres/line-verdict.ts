/**
 * Whether a silent line to the destination is still alive. Silence alone proves nothing: a merge or an index build says nothing for hours. What
 * proves a line dead is that its server, asked on a new connection, no longer has the session, or waits for the client as the client waits for it.
 */

/** A session as the server shows it on another connection. */
export interface ServerView {
  /** It waits for its client: idle between statements, or reading, or writing what nobody takes. */
  readonly waits: boolean;
  /** Between statements, where the client believes that one runs. */
  readonly idle: boolean;
  /** Changes with every step that the session makes, each buffer of a COPY included. */
  readonly mark: string;
}

/** Both ends of one line at one moment. */
export interface Look {
  /** Null: the server has no such session. */
  readonly server: ServerView | null;
  /** Bytes that the client has sent so far. */
  readonly sent: number;
  /** All that the client had to say is said, or is held up on its way: it waits for the server. False while a COPY waits for its next rows. */
  readonly clientWaits: boolean;
}

/** `gone`: its server has ended the session. `deaf`: nothing passes any more. */
export type Verdict = 'gone' | 'deaf' | 'alive';

/** Looks that agree before a line counts as deaf: what one end has just sent may be on its way. */
export const AGREEING_LOOKS = 3;

/** Judges a line by its latest looks, of which the newest is the last; in none of them, nor between, has the client heard a byte. */
export function judgeLine(looks: readonly Look[]): Verdict {
  const latest = looks.slice(-AGREEING_LOOKS);
  const last = latest.at(-1);
  if (last === undefined) return 'alive';
  if (last.server === null) return 'gone';
  if (latest.length < AGREEING_LOOKS) return 'alive';
  const { mark } = last.server;
  if (latest.some(({ server }) => server === null || !server.waits || server.mark !== mark)) return 'alive';
  return latest.every(waitsInVain) || sentInVain(latest) ? 'deaf' : 'alive';
}

function waitsInVain({ server, clientWaits }: Look): boolean {
  return clientWaits || server?.idle === true;
}

/** Rows of a COPY left the client in time to arrive, and the server has not seen one of them. */
function sentInVain(looks: readonly Look[]): boolean {
  const [first, second] = looks;
  return first !== undefined && second !== undefined && second.sent > first.sent;
}
