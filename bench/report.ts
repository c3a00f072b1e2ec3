import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import type { BenchCase, Measured } from './bench-case.ts';
import { spread, type Spread } from './statistics.ts';

const BYTES_PER_GIB = 1024 ** 3;
const MILLION = 1_000_000;

export interface CaseResult {
  readonly name: string;
  readonly title: string;
  readonly bound: BenchCase['bound'];
  readonly rows: number;
  /** What `bound` speaks of: the ratio to the limit, the seconds above it, or the worker's CPU seconds. */
  readonly value: Spread;
  /** The ratio with the seconds of the command instead of the run's; null where `value` is no ratio. */
  readonly commandRatio: Spread | null;
  readonly inside: boolean;
  readonly limitSeconds: Spread;
  readonly seconds: Spread;
  readonly runSeconds: Spread | null;
  readonly rowsPerSecond: number;
  readonly workerCpuSeconds: Spread;
  readonly temporalCpuSeconds: Spread;
  readonly workerPeakMib: Spread;
  readonly bytes: number;
  readonly historyEvents: number;
  readonly eventsPerMillionRows: number | null;
  readonly peers: readonly PeerResult[];
  readonly rounds: readonly { readonly limit: number; readonly tidemark: Measured }[];
}

export interface PeerResult {
  readonly name: string;
  readonly version: string;
  readonly seconds: number;
}

/** Sums the rounds up. Each round is one pair, run one after the other, and gives one ratio: load of the machine that comes and goes meets both. */
export function summarize(benchCase: BenchCase, rows: number, rounds: CaseResult['rounds'], peers: readonly PeerResult[]): CaseResult {
  const of = (field: (measured: Measured) => number): Spread => spread(rounds.map(({ tidemark }) => field(tidemark)));
  const seconds = of((measured) => measured.seconds);
  const runSeconds = rounds.some(({ tidemark }) => tidemark.runSeconds === null) ? null : of((measured) => measured.runSeconds ?? 0);
  const value = spread(rounds.map((round) => valueOf(benchCase.bound, round)));
  const copied = of((measured) => measured.rows).median;
  const events = of((measured) => measured.historyEvents).median;
  return {
    name: benchCase.name,
    title: benchCase.title,
    bound: benchCase.bound,
    rows,
    value,
    commandRatio: benchCase.bound.kind === 'ratio' ? spread(rounds.map(({ limit, tidemark }) => tidemark.seconds / limit)) : null,
    inside: value.median <= boundOf(benchCase.bound),
    limitSeconds: spread(rounds.map((round) => round.limit)),
    seconds,
    runSeconds,
    rowsPerSecond: Math.round(copied / (runSeconds ?? seconds).median),
    workerCpuSeconds: of((measured) => measured.workerCpuSeconds),
    temporalCpuSeconds: of((measured) => measured.temporalCpuSeconds),
    workerPeakMib: of((measured) => measured.workerPeakMib),
    bytes: of((measured) => measured.bytes).median,
    historyEvents: events,
    eventsPerMillionRows: copied === 0 ? null : (events * MILLION) / copied,
    peers,
    rounds,
  };
}

function valueOf(bound: BenchCase['bound'], { limit, tidemark }: CaseResult['rounds'][number]): number {
  const seconds = tidemark.runSeconds ?? tidemark.seconds;
  if (bound.kind === 'ratio') return seconds / limit;
  return bound.kind === 'added' ? seconds - limit : tidemark.workerCpuSeconds;
}

const boundOf = (bound: BenchCase['bound']): number => (bound.kind === 'ratio' ? bound.most : bound.seconds);

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  /** Mean number of running processes over the last minute, before the bench began. */
  readonly loadBefore: number;
  readonly node: string;
}

export function machine(): Machine {
  return { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryGib: Math.round(totalmem() / BYTES_PER_GIB), loadBefore: loadavg()[0] ?? 0, node: process.version };
}

/** Commit of the code that was measured; `+` after it where files differ from it. */
export function commit(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  try {
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+'}`;
  } catch {
    return 'unknown';
  }
}

/** Writes the results beside those of earlier days; returns the file. */
export function keep(document: { readonly date: string }): string {
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${document.date.slice(0, 19).replace(/[:T]/g, '-')}.json`);
  writeFileSync(file, `${JSON.stringify(document, null, 2)}\n`);
  return file;
}

const two = (value: number): string => value.toFixed(2);
const range = ({ median, min, max }: Spread): string => `${two(median)} (${two(min)}–${two(max)})`;

export function line(result: CaseResult): string {
  const unit = result.bound.kind === 'ratio' ? '×' : 's';
  return [
    `${result.title}, ${result.rows.toLocaleString('en')} rows`,
    `  ${result.inside ? 'inside' : 'OUTSIDE'}: ${range(result.value)} ${unit}, at most ${boundOf(result.bound)} ${unit}${result.commandRatio === null ? '' : `; with the command's own start ${range(result.commandRatio)} ${unit}`}`,
    `  limit ${range(result.limitSeconds)} s, Tidemark ${result.runSeconds === null ? range(result.seconds) : `${range(result.runSeconds)} s, its command ${range(result.seconds)}`} s, ${result.rowsPerSecond.toLocaleString('en')} rows/s`,
    `  CPU: worker ${range(result.workerCpuSeconds)} s, Temporal ${range(result.temporalCpuSeconds)} s; worker's peak ${result.workerPeakMib.max.toFixed(0)} MiB`,
    `  ${result.bytes.toLocaleString('en')} bytes, ${result.historyEvents} events${result.eventsPerMillionRows === null ? '' : `, ${result.eventsPerMillionRows.toFixed(1)} for each million rows`}`,
    ...result.peers.map((peer) => `  ${peer.name} ${peer.version}: ${two(peer.seconds)} s, ${two(peer.seconds / result.limitSeconds.median)} × the limit`),
  ].join('\n');
}
