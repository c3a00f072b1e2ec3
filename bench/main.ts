/** `npm run bench [-- NAME...] [--rows N] [--rounds N] [--json]`: limit and Tidemark in turn, case by case. */
import { parseArgs } from 'node:util';
import runEnd from '../test/support/run-end.js';
import runStart from '../test/support/run-start.js';
import { releaseAll } from '../test/support/release.ts';
import type { BenchCase } from './bench-case.ts';
import { CASES } from './cases/cases.ts';
import { commit, keep, line, machine, summarize, type CaseResult } from './report.ts';
import { Bench } from './servers.ts';

const ROUNDS = 3;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const say = (text: string): void => void process.stderr.write(`${text}\n`);

interface Options {
  readonly cases: readonly BenchCase[];
  readonly rows: number | null;
  readonly rounds: number;
  readonly json: boolean;
}

function options(): Options {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { rows: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'boolean', default: false } } });
  const unknown = positionals.filter((name) => !CASES.some((each) => each.name === name));
  if (unknown.length > 0) throw new Error(`There is no case ${unknown.join(', ')}. There are: ${CASES.map(({ name }) => name).join(', ')}.`);
  return {
    cases: positionals.length === 0 ? CASES : CASES.filter(({ name }) => positionals.includes(name)),
    rows: count('rows', values.rows),
    rounds: count('rounds', values.rounds) ?? ROUNDS,
    json: values.json,
  };
}

function count(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  if (!/^[1-9][\d_]*$/.test(text)) throw new Error(`--${name} wants a whole number above 0.`);
  return Number(text.replaceAll('_', ''));
}

async function runCase(benchCase: BenchCase, bench: Bench, rows: number, rounds: number): Promise<CaseResult> {
  say(`${benchCase.name}: preparing ${rows.toLocaleString('en')} rows`);
  const contest = await benchCase.prepare(bench, rows);
  const measured: CaseResult['rounds'][number][] = [];
  try {
    for (let round = 1; round <= rounds; round += 1) {
      const limit = await contest.limit();
      const tidemark = await contest.tidemark();
      await contest.verify();
      say(`${benchCase.name} ${round}/${rounds}: limit ${limit.toFixed(2)} s, Tidemark ${tidemark.seconds.toFixed(2)} s`);
      measured.push({ limit, tidemark });
    }
  } finally {
    await contest.close();
  }
  return summarize(benchCase, rows, measured);
}

async function main({ cases, rows, rounds, json }: Options): Promise<void> {
  const document = { date: new Date().toISOString(), commit: commit(), machine: machine(), results: [] as CaseResult[] };
  await runStart();
  try {
    const bench = new Bench();
    for (const benchCase of cases) {
      const result = await runCase(benchCase, bench, rows ?? benchCase.rows, rounds);
      document.results.push(result);
      if (!json) process.stdout.write(`${line(result)}\n\n`);
    }
    if (json) process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
    say(`kept in ${keep(document)}`);
  } finally {
    await releaseAll().catch((error: unknown) => say(String(error)));
    await runEnd();
  }
}

let chosen: Options | null = null;
try {
  chosen = options();
} catch (error) {
  say(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = EXIT_USAGE;
}
if (chosen !== null) {
  await main(chosen).catch((error: unknown) => {
    say(`bench: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = EXIT_FAILED;
  });
  // Pools of databases that a failed case left open must not keep the process.
  process.exit();
}
