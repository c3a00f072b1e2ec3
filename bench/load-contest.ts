import type { Contest } from './bench-case.ts';
import { freeMemory } from './freed-memory.ts';
import type { PeerLoad } from './peers.ts';
import { dropDatabase, newDatabase, type Bench } from './servers.ts';
import { TidemarkUnderTest } from './tidemark-under-test.ts';
import type { PostgresDatabase } from '../test/support/postgres.ts';

export interface FirstLoad {
  /** One run of what the databases can do, into an empty database or into nothing; seconds. To call `begin` right before its time begins. */
  limit(newTarget: () => Promise<PostgresDatabase>, begin: () => Promise<void>): Promise<number>;
  /** Tidemark's configuration, whose target is `public.lineitem`, with a second source `small`, and its variables beside the destination. */
  readonly file: string;
  readonly variables: Readonly<Record<string, string>>;
  /** Where other tools read; absent: they are not compared here. */
  readonly from?: Omit<PeerLoad, 'into'>;
  readonly rows: number;
  /** What a loaded target holds, and what it must hold. */
  contentOf(into: PostgresDatabase): Promise<string | null>;
  readonly expected: string | null;
}

/** What a load of one row takes of the file cache: the table, its key, the sort of the key, the write-ahead log. */
const CACHE_BYTES_EACH_ROW = 350;

/**
 * Both sides load the whole table into a database of their own that was made for this one round, and begin with the same memory. Tidemark's worker is
 * one that runs: it has synced another source before, a table of one row.
 */
export async function loadContest(bench: Bench, load: FirstLoad): Promise<Contest> {
  const destination = await bench.destination();
  let content = load.expected;
  const begin = (): Promise<void> => freeMemory(load.rows * CACHE_BYTES_EACH_ROW);
  const into = async <T>(prefix: string, work: (target: PostgresDatabase) => Promise<T>): Promise<T> => {
    const target = await newDatabase(destination, prefix);
    const result = await work(target);
    await dropDatabase(target);
    return result;
  };
  const { from } = load;
  return {
    async limit() {
      const made: PostgresDatabase[] = [];
      const seconds = await load.limit(async () => {
        const target = await newDatabase(destination, 'limit');
        made.push(target);
        return target;
      }, begin);
      for (const target of made) await dropDatabase(target);
      return seconds;
    },
    tidemark: () =>
      into('tidemark', async (target) => {
        const tidemark = await TidemarkUnderTest.start(load.file, { ...load.variables, DESTINATION_URL: target.url });
        await tidemark.tidemark.must('sync', 'small', '--json');
        await target.query('CHECKPOINT');
        await begin();
        const measured = await tidemark.measure('sync', 'bench');
        await tidemark.stop();
        content = await load.contentOf(target);
        return measured;
      }),
    ...(from === undefined
      ? {}
      : {
          peer: (peer) =>
            into('peer', async (target) => {
              const seconds = await peer.load({ ...from, into: target.url });
              const loaded = await target.value('SELECT count(*) FROM peer.lineitem');
              if (loaded !== String(load.rows)) throw new Error(`${peer.name} loaded ${loaded} of ${load.rows} rows`);
              return seconds;
            }),
        }),
    async verify() {
      if (content !== load.expected) throw new Error(`the target has ${content}, the source has ${load.expected}`);
    },
    async close() {
      // Each round drops its own databases; the source's table is shared.
    },
  };
}
