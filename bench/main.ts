/** `npm run bench [-- NAME...] [--rows N] [--rounds N] [--json] [--peers]`: limit and Tidemark in turn, case by case; `fleet` and `scale-out` by name. */
import runEnd from '../test/support/run-end.js';
import runStart from '../test/support/run-start.js';
import { releaseAll } from '../test/support/release.ts';
import type { BenchCase, Contest } from './bench-case.ts';
import { fleetLines, runFleet, type FleetResult } from './fleet/fleet.ts';
import { readOptions, type BenchOptions } from './options.ts';
import { findPeers, type Peer } from './peers.ts';
import { commit, keep, line, machine, summarize, type CaseResult, type PeerResult } from './report.ts';
import { runScaleOut, SCALE_OUT_ROWS, scaleOutLines, type ScaleOutResult } from './scale-out.ts';
import { Bench } from './servers.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const say = (text: string): void => void process.stderr.write(`${text}\n`);

async function runCase(benchCase: BenchCase, bench: Bench, rows: number, rounds: number, peers: readonly Peer[]): Promise<CaseResult> {
  say(`${benchCase.name}: preparing ${rows.toLocaleString('en')} rows`);
  const contest = await benchCase.prepare(bench, rows);
  const measured: CaseResult['rounds'][number][] = [];
  let others: readonly PeerResult[] = [];
  try {
    for (let round = 1; round <= rounds; round += 1) {
      const limit = await contest.limit();
      const tidemark = await contest.tidemark();
      await contest.verify();
      say(`${benchCase.name} ${round}/${rounds}: limit ${limit.toFixed(2)} s, Tidemark ${(tidemark.runSeconds ?? tidemark.seconds).toFixed(2)} s`);
      measured.push({ limit, tidemark });
    }
    others = await runPeers(contest, peers);
  } finally {
    await contest.close();
  }
  return summarize(benchCase, rows, measured, others);
}

/** Each once: their seconds are many times the limit's. */
async function runPeers(contest: Contest, peers: readonly Peer[]): Promise<readonly PeerResult[]> {
  const results: PeerResult[] = [];
  for (const peer of contest.peer === undefined ? [] : peers) {
    const seconds = await contest.peer!(peer);
    say(`${peer.name} ${peer.version}: ${seconds.toFixed(2)} s`);
    results.push({ name: peer.name, version: peer.version, seconds });
  }
  return results;
}

async function main({ cases, studies, fleet, rows, coresEach, rounds, json, peers }: BenchOptions): Promise<void> {
  const document = { date: new Date().toISOString(), commit: commit(), machine: machine(), results: [] as CaseResult[], fleet: null as FleetResult | null, scaleOut: null as ScaleOutResult | null };
  await runStart();
  try {
    const bench = new Bench();
    const others = peers ? findPeers() : [];
    if (peers && others.length === 0) say('neither sling nor dlt is installed: no peers');
    for (const benchCase of cases) {
      const result = await runCase(benchCase, bench, rows ?? benchCase.rows, rounds, others);
      document.results.push(result);
      if (!json) process.stdout.write(`${line(result)}\n\n`);
    }
    if (studies.includes('fleet')) {
      document.fleet = await runFleet(bench, fleet, say);
      if (!json) process.stdout.write(`${fleetLines(document.fleet)}\n\n`);
    }
    if (studies.includes('scale-out')) {
      document.scaleOut = await runScaleOut(bench, { rows: rows ?? SCALE_OUT_ROWS, coresEach }, say);
      if (!json) process.stdout.write(`${scaleOutLines(document.scaleOut)}\n\n`);
    }
    if (json) process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
    say(`kept in ${keep(document)}`);
  } finally {
    await releaseAll().catch((error: unknown) => say(String(error)));
    await runEnd();
  }
}

let chosen: BenchOptions | null = null;
try {
  chosen = readOptions();
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
