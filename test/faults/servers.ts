/**
 * Source, destination and Temporal end in the middle of a sync, with no word to anybody, and come back (F-21, F-40, F-47, F-54): the
 * stream goes on from its watermark. Temporal may come back knowing nothing: what is true stands in the destination.
 */
import { join } from 'node:path';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres } from '../support/postgres.ts';
import { onFileEnd } from '../support/release.ts';
import { scratchFolder } from '../support/shared-server.ts';
import { startTemporal } from '../support/temporal.ts';
import { allFaults } from './all-faults.ts';
import { FaultRun } from './fault-run.ts';
import type { Fault } from './fault-run.ts';
import { DURABLE, engineOf } from './fault-source.ts';
import type { FaultEngine } from './fault-source.ts';
import { testLanes } from './lanes.ts';
import type { Case } from './lanes.ts';

type Place = Omit<Fault, 'action'>;

const AT_SOURCE: readonly Place[] = [{ phase: 'P1' }, ...allFaults<Place>([{ phase: 'P0', place: 'extractBatch' }, { phase: 'P3' }, { phase: 'P7' }])];
const AT_DESTINATION: readonly Place[] = [{ phase: 'P3' }, { phase: 'P6' }, ...allFaults<Place>([{ phase: 'P4' }, { phase: 'P5' }, { phase: 'P7' }])];
const AT_TEMPORAL: readonly Place[] = [{ phase: 'P8', place: 'loadBatch' }, ...allFaults<Place>([{ phase: 'P0', place: 'extractBatch' }, { phase: 'P6' }])];

/** A server that ends and comes back. */
interface Mortal {
  kill(): Promise<void>;
  restart(): Promise<void>;
}

let changes = 0;

async function more(run: FaultRun): Promise<void> {
  changes += 1;
  await run.change(1, 250, `change ${changes}`);
  await run.insert(100_000 + changes * 200, 100_149 + changes * 200);
}

const firstLoad: Case = { name: 'the first load', play: (run) => run.sync() };

function restarts(what: string, server: () => Mortal, places: readonly Place[], ...options: string[]): Case[] {
  return places.map((at) => ({
    name: `${what} ends at ${at.phase}${options.join(' ')}`,
    play: async (run) => {
      await more(run);
      await run.disturbedAt(at, async () => {
        await server().kill();
        await server().restart();
      }, ...options);
      // A refresh writes every row into the next generation, and one that was given up is begun anew.
      if (options.includes('--full')) run.written = await run.ledgerWritten();
    },
  }));
}

class OwnTemporal implements Mortal {
  readonly #folder = scratchFolder('temporal');
  #server: Awaited<ReturnType<typeof startTemporal>> | null = null;
  #lives = 0;

  async start(): Promise<Record<string, string>> {
    this.#server = await startTemporal(this.#folder);
    onFileEnd(async () => void (await this.#server?.process.stop()));
    return { TEMPORAL_ADDRESS: this.#server.address, TEMPORAL_NAMESPACE: 'default' };
  }

  async kill(): Promise<void> {
    await this.#server?.process.kill();
  }

  async restart(): Promise<void> {
    this.#server = await startTemporal(this.#folder, [], this.#server ?? {});
  }

  async restartEmpty(): Promise<void> {
    this.#lives += 1;
    this.#server = await startTemporal(this.#folder, [], { ...this.#server, databaseFile: join(this.#folder, `empty-${this.#lives}.db`) });
  }
}

/** A Temporal that has lost everything: the run that it carried is over, a sync begins another, `apply` makes the schedules again. */
function forgets(temporal: () => OwnTemporal): Case {
  return {
    name: 'Temporal comes back with an empty database',
    play: async (run) => {
      await more(run);
      await run.disturbedAt({ phase: 'P6' }, async () => {
        await temporal().kill();
        await temporal().restartEmpty();
      });
      await run.tidemark.apply();
    },
  };
}

export function testServers(kind: string): void {
  const engine: FaultEngine = engineOf(kind);
  describeWith(engine.needs, `servers that end and come back, ${kind}`, () => {
    const mortal: { source?: Mortal; destination?: Mortal; temporal?: OwnTemporal } = {};
    const of = <T>(server: T | undefined): T => server ?? fail();
    const lanes: Case[][] = [
      [firstLoad, ...restarts('the source', () => of(mortal.source), AT_SOURCE), ...restarts('the source', () => of(mortal.source), allFaults<Place>([{ phase: 'P6' }]), '--full')],
      [firstLoad, ...restarts('the destination', () => of(mortal.destination), AT_DESTINATION), ...restarts('the destination', () => of(mortal.destination), allFaults<Place>([{ phase: 'PD', place: 'swap' }]), '--full')],
      [firstLoad, ...restarts('Temporal', () => of(mortal.temporal), AT_TEMPORAL), forgets(() => of(mortal.temporal))],
    ];
    const starts = [
      async () => {
        const source = await engine.own();
        mortal.source = source;
        return FaultRun.start({ engine, source });
      },
      async () => {
        const server = await PrivatePostgres.start(DURABLE.postgres);
        mortal.destination = { kill: () => server.stopAtOnce(), restart: () => server.restart() };
        return FaultRun.start({ engine, source: await engine.shared(), target: await server.createDatabase('target') });
      },
      async () => {
        const temporal = new OwnTemporal();
        mortal.temporal = temporal;
        return FaultRun.start({ engine, source: await engine.shared(), temporal: await temporal.start() });
      },
    ];
    testLanes(lanes, (lane) => (starts[lane] ?? fail)());
  });
}

function fail(): never {
  throw new Error('not started');
}
