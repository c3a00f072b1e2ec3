/** The least of an engine: applies what a session reads to a map of rows, batch by batch, and keeps the position. */
import { manifest } from '../../connectors/postgres/manifest.ts';
import type { RowRead, SourceSession, StreamRead } from '../../connectors/connector.ts';
import type { Position } from '../../schemas/position.ts';
import type { PostgresDatabase } from '../support/postgres.ts';

export interface Login {
  readonly user?: string;
  readonly password?: string;
  readonly port?: number;
  readonly signal?: AbortSignal;
}

export async function openSession(database: PostgresDatabase, login: Login = {}): Promise<SourceSession> {
  const { server } = database;
  const connector = await manifest.load();
  const connection = manifest.connectionSchema.parse({
    host: server.host,
    port: login.port ?? server.port,
    database: database.name,
    user: login.user ?? server.user,
    password: login.password ?? server.password,
  });
  return connector.connect(connection, {
    applicationName: 'tidemark test',
    connectTimeoutMs: 10_000,
    statementTimeoutMs: 60_000,
    signal: login.signal ?? new AbortController().signal,
  });
}

/** Lines of COPY text, escapes kept: equal values have equal lines. */
export async function readLines(read: RowRead): Promise<readonly string[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of read.stream) chunks.push(chunk as Buffer);
  const lines = Buffer.concat(chunks).toString('utf8').split('\n').slice(0, -1);
  if (lines.length !== read.rowsRead()) throw new Error(`${lines.length} lines, but ${read.rowsRead()} rows by the server's count`);
  return lines;
}

export interface RunResult {
  readonly read: number;
  readonly batches: number;
  readonly futureRows: number;
}

/** One stream of one table, with its target. */
export class MiniEngine {
  readonly target = new Map<string, string>();
  readonly rowsMax: number;
  position: Position | null = null;
  readonly #database: PostgresDatabase;
  readonly #stream: StreamRead;
  readonly session: SourceSession;
  guarantee = '';

  private constructor(database: PostgresDatabase, session: SourceSession, stream: StreamRead, rowsMax: number) {
    this.#database = database;
    this.session = session;
    this.#stream = stream;
    this.rowsMax = rowsMax;
  }

  static async for(database: PostgresDatabase, table: string, cursor: string | null, options: { rowsMax?: number; key?: readonly string[]; login?: Login; futureLimitSeconds?: number; overlapSeconds?: number } = {}): Promise<MiniEngine> {
    const session = await openSession(database, options.login);
    const shape = await session.describe(table);
    const stream: StreamRead = {
      table: shape,
      columns: shape.columns.map(({ name }) => name),
      key: options.key ?? shape.key,
      cursor,
      overlapSeconds: options.overlapSeconds ?? 60,
      futureLimitSeconds: options.futureLimitSeconds ?? 86_400,
      fetchRows: 1000,
      types: {},
    };
    return new MiniEngine(database, session, stream, options.rowsMax ?? 3);
  }

  get stream(): StreamRead {
    return this.#stream;
  }

  /** Reads one batch and applies it. Fails where a batch brings a row twice. */
  async batch(): Promise<{ read: number; more: boolean; futureRows: number }> {
    const batch = await this.session.readFrom(this.#stream, this.position, { rowsMax: this.rowsMax }, 'copy-text');
    const lines = await readLines(batch);
    if (new Set(lines.map((line) => this.#keyOf(line))).size !== lines.length) throw new Error('a batch brought a row twice');
    for (const line of lines) this.target.set(this.#keyOf(line), line);
    this.position = JSON.parse(JSON.stringify(batch.to)) as Position;
    this.guarantee = batch.guarantee;
    return { read: lines.length, more: batch.more, futureRows: batch.futureRows };
  }

  /** One run; `between` is called after each batch but the last. */
  async run(between: () => Promise<void> = () => Promise.resolve()): Promise<RunResult> {
    let read = 0;
    let futureRows = 0;
    for (let batches = 1; ; batches += 1) {
      const batch = await this.batch();
      read += batch.read;
      futureRows += batch.futureRows;
      if (!batch.more) return { read, batches, futureRows };
      if (batches > 2000) throw new Error('paging does not end');
      await between();
    }
  }

  /** Builds the target whole, as a first load does; `between` is called after each part. */
  async build(between: () => Promise<void> = () => Promise.resolve()): Promise<number> {
    const plan = await this.session.planFull(this.#stream, { rowsMax: this.rowsMax });
    for (const part of plan.parts) {
      for (const line of await readLines(await this.session.readPart(this.#stream, part, 'copy-text'))) this.target.set(this.#keyOf(line), line);
      await between();
    }
    this.position = JSON.parse(JSON.stringify(plan.position)) as Position;
    return plan.parts.length;
  }

  poll(): Promise<boolean> {
    if (this.position === null) throw new Error('no position yet');
    return this.session.poll(this.#stream, this.position);
  }

  /** The source's rows by a client that shares nothing with the connector. */
  async sourceRows(): Promise<readonly string[]> {
    const columns = this.#stream.columns.map((name) => `concat("${name.replaceAll('"', '""')}")`).join(', ');
    const nulls = this.#stream.columns.map((name) => `"${name.replaceAll('"', '""')}" IS NULL`).join(', ');
    const rows = await this.#database.query(`SELECT array_to_json(ARRAY[${columns}]) AS v, array_to_json(ARRAY[${nulls}]) AS n FROM "${this.#stream.table.schema}"."${this.#stream.table.name}"`);
    return rows.map(({ v, n }) => {
      const isNull = JSON.parse(n ?? '[]') as boolean[];
      return (JSON.parse(v ?? '[]') as string[]).map((value, i) => (isNull[i] ? '\\N' : escaped(value))).join('\t');
    }).sort();
  }

  targetRows(): readonly string[] {
    return [...this.target.values()].sort();
  }

  async expectEqual(): Promise<void> {
    expect(this.targetRows()).toEqual(await this.sourceRows());
  }

  /** After the writers are quiet and two more runs the target must equal the source. */
  async settle(): Promise<void> {
    await this.run();
    await this.run();
    await this.expectEqual();
  }

  #keyOf(line: string): string {
    const fields = line.split('\t');
    if (this.#stream.key.length === 0) return line;
    return this.#stream.key.map((name) => fields[this.#stream.columns.indexOf(name)]).join('\t');
  }
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\t', '\\t').replaceAll('\r', '\\r').replaceAll('\b', '\\b').replaceAll('\f', '\\f').replaceAll('\v', '\\v');
}

/** Empty pages make a table `(id, at, note)` large: it is then looked through whole only where that is due. */
export async function enlarge(database: PostgresDatabase, name: string): Promise<void> {
  await database.query(`ALTER TABLE ${name} SET (autovacuum_enabled = off); ALTER TABLE ${name} ALTER note SET STORAGE PLAIN`);
  await database.query(`INSERT INTO ${name} SELECT -n, NULL, repeat('x', 7900) FROM generate_series(1, 4200) n`);
  await database.query(`DELETE FROM ${name}`);
}
