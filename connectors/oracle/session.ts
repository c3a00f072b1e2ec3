import type { Part, Position } from '../../schemas/position.ts';
import type { ServerFacts, TableShape } from '../../schemas/table.ts';
import type { BatchLimits, FullPlan, IncrementalRead, RowFormat, RowRead, SliceBounds, SliceRead, SourceSession, StreamRead } from '../connector.ts';
import { describeTable, discoverTables } from './catalog.ts';
import type { OracleClient } from './client.ts';
import { mayHaveNews, planParts, readBatch, readPart } from './range.ts';
import { readSlice } from './slice.ts';
import { OracleServer } from './server.ts';
import { Snapshots, type SnapshotChoice } from './snapshot.ts';

/** One session of an Oracle database. Rows are always `copy-text`. */
export class OracleSession implements SourceSession {
  readonly #client: OracleClient;
  readonly #server: OracleServer;
  readonly #snapshots: Snapshots;

  constructor(client: OracleClient, snapshot: SnapshotChoice) {
    this.#client = client;
    this.#snapshots = new Snapshots(client, snapshot);
    this.#server = new OracleServer(client);
  }

  async server(): Promise<ServerFacts> {
    await this.#client.endSnapshot();
    return { ...(await this.#server.facts()), notes: [await this.#snapshots.describe()] };
  }

  async discover(): Promise<readonly TableShape[]> {
    await this.#client.endSnapshot();
    return discoverTables(this.#client);
  }

  async describe(table: string): Promise<TableShape> {
    await this.#client.endSnapshot();
    const { schema } = await this.#server.names();
    return describeTable(this.#client, schema, table);
  }

  poll(stream: StreamRead, position: Position): Promise<boolean> {
    return mayHaveNews(this.#client, this.#server, stream, position);
  }

  readFrom(stream: StreamRead, position: Position | null, limits: BatchLimits, _format: RowFormat): Promise<IncrementalRead> {
    return readBatch(this.#client, this.#server, this.#snapshots, stream, position, limits);
  }

  planFull(stream: StreamRead, limits: BatchLimits): Promise<FullPlan> {
    return planParts(this.#client, this.#server, this.#snapshots, stream, limits);
  }

  readPart(stream: StreamRead, part: Part, _format: RowFormat): Promise<RowRead> {
    return readPart(this.#client, this.#snapshots, stream, part);
  }

  readSlice(stream: StreamRead, range: SliceBounds, _format: RowFormat): Promise<SliceRead> {
    return readSlice(this.#client, this.#snapshots, stream, range);
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
