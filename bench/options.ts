import { parseArgs } from 'node:util';
import type { BenchCase } from './bench-case.ts';
import { CASES } from './cases/cases.ts';
import type { FleetOptions } from './fleet/fleet.ts';

const ROUNDS = 3;
/** Of a core. */
const PERCENT = 50;
/** Measured for themselves, not beside a limit; only where they are named. */
const STUDIES = ['fleet', 'scale-out'] as const;

export interface BenchOptions {
  readonly cases: readonly BenchCase[];
  readonly studies: readonly (typeof STUDIES)[number][];
  readonly fleet: FleetOptions;
  readonly rows: number | null;
  /** Of each worker in `scale-out`. */
  readonly coresEach: number;
  readonly rounds: number;
  readonly json: boolean;
  /** Other tools beside the cases that they can do, where they are installed. */
  readonly peers: boolean;
}

const FLEET = { sources: 90, everySeconds: 5, minutes: 5 };

/** Throws with a sentence for people. */
export function readOptions(): BenchOptions {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { rows: text, rounds: text, percent: text, sources: text, every: text, minutes: text, saturate: flag, json: flag, peers: flag } });
  const studies = STUDIES.filter((name) => positionals.includes(name));
  const names = [...CASES.map(({ name }) => name), ...STUDIES];
  const unknown = positionals.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new Error(`There is no case ${unknown.join(', ')}. There are: ${names.join(', ')}.`);
  return {
    cases: positionals.length === 0 ? CASES : CASES.filter(({ name }) => positionals.includes(name)),
    studies,
    fleet: { sources: count('sources', values.sources) ?? FLEET.sources, everySeconds: count('every', values.every) ?? FLEET.everySeconds, minutes: count('minutes', values.minutes) ?? FLEET.minutes, saturate: values.saturate },
    rows: count('rows', values.rows),
    coresEach: (count('percent', values.percent) ?? PERCENT) / 100,
    rounds: count('rounds', values.rounds) ?? ROUNDS,
    json: values.json,
    peers: values.peers,
  };
}

function count(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  if (!/^[1-9][\d_]*$/.test(text)) throw new Error(`--${name} wants a whole number above 0.`);
  return Number(text.replaceAll('_', ''));
}
