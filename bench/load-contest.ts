import type { Contest } from './bench-case.ts';
import type { PeerLoad } from './peers.ts';
import { dropDatabase, newDatabase, type Bench } from './servers.ts';
import { TidemarkUnderTest } from './tidemark-under-test.ts';
import type { PostgresDatabase } from '../test/support/postgres.ts';

export interface FirstLoad {
  /** One run of what the databases can do, into an empty database or into nothing; seconds. */
  limit(newTarget: () => Promise<PostgresDatabase>): Promise<number>;
  /** Tidemark's configuration, whose target is `public.lineitem`, and its variables beside the destination. */
  readonly file: string;
  readonly variables: Readonly<Record<string, string>>;
  /** Where other tools read; absent: they are not compared here. */
  readonly from?: Omit<PeerLoad, 'into'>;
  readonly rows: number;
  /** What a loaded target holds, and what it must hold. */
  contentOf(into: PostgresDatabase): Promise<string | null>;
  readonly expected: string | null;
}

/** Both sides load the whole table into a database of their own that was made for this one round. */
export async function loadContest(bench: Bench, load: FirstLoad): Promise<Contest> {
  const destination = await bench.destination();
  let content = load.expected;
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
      });
      for (const target of made) await dropDatabase(target);
      return seconds;
    },
    tidemark: () =>
      into('tidemark', async (target) => {
        const tidemark = await TidemarkUnderTest.start(load.file, { ...load.variables, DESTINATION_URL: target.url });
        await target.query('CHECKPOINT');
        const measured = await tidemark.measure('sync', '--all');
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
