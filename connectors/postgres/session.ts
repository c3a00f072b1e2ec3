/** {@link SourceSession} for PostgreSQL 12 and later: what may be asked, and in what order the connection is used. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Position } from '../../schemas/position.ts';
import type { ServerFacts, TableShape } from '../../schemas/table.ts';
import type { BatchLimits, FullPlan, IncrementalRead, Part, PartLimits, RowFormat, RowRead, SessionOptions, SliceBounds, SliceRead, SourceComparison, SourceSession, StreamRead } from '../connector.ts';
import { describeTable, discoverTables } from './catalog.ts';
import { PostgresClient } from './client.ts';
import type { PostgresConnection } from './connection.ts';
import { beginDigest, openDigestedKeys, openKeys, planDigest } from './digest.ts';
import { openPart, planParts } from './full.ts';
import { openBatch } from './incremental.ts';
import { mayHaveNew } from './poll.ts';
import { readScanScope } from './scope.ts';
import { openSlice } from './slice.ts';
import { readServerFacts } from './server-facts.ts';

const VERSION_MIN = 120_000;

export class PostgresSession implements SourceSession {
  readonly #client: PostgresClient;
  /** Settles when the last stream has let go of the connection. */
  #free: Promise<void> = Promise.resolve();

  private constructor(client: PostgresClient) {
    this.#client = client;
  }

  static async open(connection: PostgresConnection, options: SessionOptions): Promise<PostgresSession> {
    const client = await PostgresClient.open(connection, options);
    if (client.server.version >= VERSION_MIN) return new PostgresSession(client);
    await client.close();
    throw new TidemarkError('source.protocol', `${connection.host}:${connection.port}: PostgreSQL 12 or later is needed.`, { hint: 'Upgrade the source, or read from a newer replica of it.' });
  }

  async server(): Promise<ServerFacts> {
    await this.#free;
    return readServerFacts(this.#client);
  }

  async discover(): Promise<readonly TableShape[]> {
    await this.#free;
    return discoverTables(this.#client);
  }

  async describe(table: string): Promise<TableShape> {
    await this.#free;
    return describeTable(this.#client, table);
  }

  async poll(stream: StreamRead, position: Position): Promise<boolean> {
    await this.#free;
    return mayHaveNew(this.#client, stream, position);
  }

  async readFrom(stream: StreamRead, position: Position | null, limits: BatchLimits, format: RowFormat): Promise<IncrementalRead> {
    await this.#free;
    const { read, released } = await openBatch(this.#client, stream, position, limits, format);
    this.#free = released;
    return read;
  }

  async planFull(stream: StreamRead, limits: PartLimits): Promise<FullPlan> {
    await this.#free;
    return planParts(this.#client, stream, limits);
  }

  async readPart(stream: StreamRead, part: Part, format: RowFormat): Promise<RowRead> {
    await this.#free;
    const { read, released } = await openPart(this.#client, stream, part, format);
    this.#free = released;
    return read;
  }

  async readKeys(stream: StreamRead, keys: readonly (readonly string[])[], format: RowFormat): Promise<RowRead> {
    await this.#free;
    const { read, released } = await openKeys(this.#client, stream, keys, format);
    this.#free = released;
    return read;
  }

  readonly comparison: SourceComparison = {
    plan: async (stream, targetTypes) => {
      await this.#free;
      return planDigest(this.#client, stream, targetTypes);
    },
    digest: async (stream, plan, buckets) => {
      await this.#free;
      return beginDigest(this.#client, stream, plan, buckets);
    },
    keys: async (stream, plan, buckets, chosen) => {
      const { read, released } = openDigestedKeys(this.#client, stream, plan, buckets, chosen);
      this.#free = released;
      return read;
    },
  };

  async scanScope(stream: StreamRead): Promise<string> {
    await this.#free;
    return readScanScope(this.#client, stream);
  }

  async readSlice(stream: StreamRead, range: SliceBounds, format: RowFormat): Promise<SliceRead> {
    await this.#free;
    const { read, released } = await openSlice(this.#client, stream, range, format);
    this.#free = released;
    return read;
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
