/** CPU time and peak memory of a process and its children, as the kernel counts them. Linux only. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** `USER_HZ`: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const KIB_PER_MIB = 1024;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  /** User and system time, seconds; children that have ended included. */
  readonly cpuSeconds: number;
}

function readStat(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
    return { pid, parent: Number(fields[1]), cpuSeconds: ticks / TICKS_PER_SECOND };
  } catch {
    return null;
  }
}

/** The process and all that live below it. */
function family(root: number): Stat[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(Number(name)))
    .filter((stat) => stat !== null);
  const members = all.filter((stat) => stat.pid === root);
  for (let found = members; found.length > 0; ) {
    const parents = new Set(found.map((stat) => stat.pid));
    found = all.filter((stat) => parents.has(stat.parent));
    members.push(...found);
  }
  return members;
}

/** CPU seconds of the process and its children so far. */
export function cpuSeconds(pid: number): number {
  return family(pid).reduce((sum, stat) => sum + stat.cpuSeconds, 0);
}

function memoryMib(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  const kib = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kib === undefined) throw new Error(`the kernel does not tell ${field} of process ${pid}`);
  return Number(kib) / KIB_PER_MIB;
}

/** Highest resident memory of this one process since it began, or since {@link forgetPeak}; MiB. */
export function peakMib(pid: number): number {
  return memoryMib(pid, 'VmHWM');
}

export function residentMib(pid: number): number {
  return memoryMib(pid, 'VmRSS');
}

/** Lets the peak begin anew at what is resident now. */
export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}
