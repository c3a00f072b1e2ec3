/** A server and the processes that it leads; PostgreSQL's are in groups of their own. */
import { readFileSync } from 'node:fs';

/** `SIGSTOP` freezes: sockets stay open, keep-alives are answered, new connections are taken and get no word; `SIGCONT` thaws. */
export function signalFamily(pid: number, signal: NodeJS.Signals): void {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  for (const each of [pid, ...children]) process.kill(each, signal);
}
