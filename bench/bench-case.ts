import type { Peer } from './peers.ts';
import type { Bench } from './servers.ts';

/** What one run of Tidemark cost. */
export interface Measured {
  /** From the command to its end, the command line's own start included. */
  readonly seconds: number;
  /** As Temporal has it, from the start of the run's workflow to its end: what a schedule, its UI or a client that is connected waits for. Null where the case is not one run. */
  readonly runSeconds: number | null;
  readonly rows: number;
  readonly bytes: number;
  readonly workerCpuSeconds: number;
  readonly temporalCpuSeconds: number;
  readonly workerPeakMib: number;
  /** Events that this run added to all histories. */
  readonly historyEvents: number;
}

/** The two contenders of a case, ready to be run in turn. */
export interface Contest {
  /** One run of what the databases can do; returns the seconds that count. */
  limit(): Promise<number>;
  tidemark(): Promise<Measured>;
  /** One run of another tool, into a database of its own; seconds. Absent: the case is not one that others are compared in. */
  peer?(peer: Peer): Promise<number>;
  /** Throws where the two did not leave the same rows. */
  verify(): Promise<void>;
  /** Ends what the contest started and drops what it filled. */
  close(): Promise<void>;
}

export interface BenchCase {
  readonly name: string;
  readonly title: string;
  readonly limit: string;
  /** What Tidemark may cost, of the limit or beside it: the run's seconds, or those of the case where it is not one run. */
  readonly bound: { readonly kind: 'ratio'; readonly most: number } | { readonly kind: 'added'; readonly seconds: number } | { readonly kind: 'worker-cpu'; readonly seconds: number };
  /** Rows where the user names no number. */
  readonly rows: number;
  prepare(bench: Bench, rows: number): Promise<Contest>;
}
