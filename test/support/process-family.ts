/** A server and the processes that it leads; PostgreSQL's are in groups of their own. */
import { readFileSync } from 'node:fs';
import { waitFor } from './processes.ts';

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** One that has ended has nothing left but its exit code, which nobody may ever ask for. */
function lives(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

/** As a power cut. Resolves when all of them are gone: one that lives on for a moment holds the server's memory, and the next start is refused. */
export async function killFamily(pid: number): Promise<void> {
  const family = [pid, ...childrenOf(pid)];
  for (const each of family) signalIfThere(each, 'SIGKILL');
  await waitFor('the processes of a killed server to be gone', () => (family.some(lives) ? null : true));
}

/** `SIGSTOP` freezes: sockets stay open, keep-alives are answered, new connections are taken and get no word; `SIGCONT` thaws. */
export function signalFamily(pid: number, signal: NodeJS.Signals): void {
  process.kill(pid, signal);
  // Asked for after that: a server that is frozen begins no new one.
  for (const each of childrenOf(pid)) signalIfThere(each, signal);
}

/** A session may end by itself at any moment. */
function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
