/** The least of an engine for Db2: applies what a session reads to a map of rows, and keeps the position as JSON. */
import { manifest } from '../../connectors/db2/manifest.ts';
import type { IncrementalRead, SourceSession, StreamRead } from '../../connectors/connector.ts';
import type { Position } from '../../schemas/position.ts';
import { readRows } from '../conformance/copy-text.ts';
import type { DerbyDatabase } from '../support/derby.ts';
import { onFileEnd } from '../support/release.ts';

export interface Login {
  readonly connection?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  readonly statementTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
}

export async function openSession(connection: Readonly<Record<string, unknown>>, login: Login = {}): Promise<SourceSession> {
  const connector = await manifest.load();
  const session = await connector.connect(manifest.connectionSchema.parse({ ...connection, ...login.connection }), {
    applicationName: 'tidemark test',
    connectTimeoutMs: login.connectTimeoutMs ?? 10_000,
    statementTimeoutMs: login.statementTimeoutMs ?? 60_000,
    signal: login.signal ?? new AbortController().signal,
  });
  onFileEnd(() => session.close());
  return session;
}

export async function streamOf(session: SourceSession, table: string, cursor: string | null, choices: Partial<StreamRead> = {}): Promise<StreamRead> {
  const shape = await session.describe(table);
  return { table: shape, columns: shape.columns.map(({ name }) => name), key: shape.key, cursor, overlapSeconds: 0, futureLimitSeconds: 86_400, fetchRows: 100, types: {}, ...choices };
}

/** One stream of one table whose first column is its key, with its target. */
export class MiniEngine {
  readonly target = new Map<string, string>();
  readonly session: SourceSession;
  readonly stream: StreamRead;
  position: Position | null = null;
  futureRows = 0;
  read = 0;
  batches = 0;
  readonly #rowsMax: number;

  constructor(session: SourceSession, stream: StreamRead, rowsMax: number) {
    this.session = session;
    this.stream = stream;
    this.#rowsMax = rowsMax;
  }

  static async open(database: DerbyDatabase, table: string, cursor: string | null, rowsMax = 3): Promise<MiniEngine> {
    const session = await openSession(database.connection);
    return new MiniEngine(session, await streamOf(session, table, cursor), rowsMax);
  }

  async poll(): Promise<boolean> {
    return this.position === null ? true : this.session.poll(this.stream, this.position);
  }

  /** One batch. */
  async batch(): Promise<IncrementalRead> {
    const read = await this.session.readFrom(this.stream, this.position, { rowsMax: this.#rowsMax }, 'copy-text');
    const { rows } = await readRows(read, this.stream.columns.length);
    for (const row of rows) this.target.set(row[0] ?? '', row.slice(1).join('|'));
    this.position = JSON.parse(JSON.stringify(read.to)) as Position;
    this.read += rows.length;
    this.batches += 1;
    this.futureRows += read.futureRows;
    return read;
  }

  /** A whole run; the number of rows it read. */
  async run(): Promise<number> {
    [this.read, this.batches, this.futureRows] = [0, 0, 0];
    while ((await this.batch()).more) if (this.batches > 1_000) throw new Error('the run does not end');
    return this.read;
  }
}
