/** The least of an engine for MySQL and MariaDB: applies what a session reads to a map of rows, and keeps the position as JSON. */
import { manifest } from '../../connectors/mysql/manifest.ts';
import type { RowRead, SourceSession, StreamRead } from '../../connectors/connector.ts';
import type { Position } from '../../schemas/position.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { onFileEnd } from '../support/release.ts';

export interface Login {
  readonly user?: string;
  readonly password?: string;
  readonly host?: string;
  readonly port?: number;
  readonly database?: string;
  readonly tls?: { readonly mode: string; readonly ca?: string };
  readonly signal?: AbortSignal;
  readonly statementTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
}

export async function openSession(database: MariadbDatabase, login: Login = {}): Promise<SourceSession> {
  const { server } = database;
  const connector = await manifest.load();
  const connection = manifest.connectionSchema.parse({
    host: login.host ?? server.host,
    port: login.port ?? server.port,
    database: login.database ?? database.name,
    user: login.user ?? server.user,
    password: login.password ?? server.password,
    ...(login.tls === undefined ? {} : { tls: login.tls }),
  });
  const session = await connector.connect(connection, {
    applicationName: 'tidemark test',
    connectTimeoutMs: login.connectTimeoutMs ?? 10_000,
    statementTimeoutMs: login.statementTimeoutMs ?? 60_000,
    signal: login.signal ?? new AbortController().signal,
  });
  onFileEnd(() => session.close());
  return session;
}

export async function readBytes(read: RowRead): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of read.stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Lines of COPY text without the two fields for rejects, escapes kept: equal values have equal lines. */
export async function readLines(read: RowRead): Promise<readonly string[]> {
  const lines = (await readBytes(read)).toString('utf8').split('\n').slice(0, -1);
  if (lines.length !== read.rowsRead()) throw new Error(`${lines.length} lines, but ${read.rowsRead()} rows by the reader's count`);
  return lines.map((line) => line.replace(/\t\\N\t\\N$/, ''));
}

export interface EngineOptions {
  readonly rowsMax?: number;
  readonly login?: Login;
  readonly futureLimitSeconds?: number;
  readonly overlapSeconds?: number;
  readonly key?: readonly string[];
  readonly types?: Readonly<Record<string, string>>;
}

export interface RunResult {
  readonly read: number;
  readonly batches: number;
  readonly futureRows: number;
}

/** One stream of one table, with its target. */
export class MiniEngine {
  readonly target = new Map<string, string>();
  readonly session: SourceSession;
  readonly stream: StreamRead;
  position: Position | null = null;
  guarantee = '';
  readonly #database: MariadbDatabase;
  readonly #rowsMax: number;

  private constructor(database: MariadbDatabase, session: SourceSession, stream: StreamRead, rowsMax: number) {
    this.#database = database;
    this.session = session;
    this.stream = stream;
    this.#rowsMax = rowsMax;
  }

  static async for(database: MariadbDatabase, table: string, cursor: string | null, options: EngineOptions = {}): Promise<MiniEngine> {
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
      types: options.types ?? {},
    };
    return new MiniEngine(database, session, stream, options.rowsMax ?? 3);
  }

  /** Reads one batch and applies it. Fails where a batch brings a row twice. */
  async batch(): Promise<{ read: number; more: boolean; futureRows: number }> {
    const batch = await this.session.readFrom(this.stream, this.position, { rowsMax: this.#rowsMax }, 'copy-text');
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
    const plan = await this.session.planFull(this.stream, { rowsMax: this.#rowsMax });
    for (const part of plan.parts) {
      for (const line of await readLines(await this.session.readPart(this.stream, part, 'copy-text'))) this.target.set(this.#keyOf(line), line);
      await between();
    }
    this.position = JSON.parse(JSON.stringify(plan.position)) as Position;
    return plan.parts.length;
  }

  poll(): Promise<boolean> {
    if (this.position === null) throw new Error('no position yet');
    return this.session.poll(this.stream, this.position);
  }

  /** The source's rows through its own escaping of text, not the connector's. */
  async sourceRows(): Promise<readonly string[]> {
    const rows = await this.#database.query(`SELECT ${this.stream.columns.map((name, index) => `\`${name}\` AS v${index}`).join(', ')} FROM \`${this.stream.table.name}\``);
    return rows.map((row) => Object.values(row as Record<string, string | null>).map((value) => (value === null ? '\\N' : escaped(value))).join('\t')).sort();
  }

  /** After the writers are quiet and two more runs the target must equal the source, and a third has nothing to do. */
  async settle(): Promise<void> {
    await this.run();
    await this.run();
    await this.expectEqual();
    expect(await this.poll()).toBe(false);
  }

  async expectEqual(): Promise<void> {
    expect([...this.target.values()].sort()).toEqual(await this.sourceRows());
  }

  #keyOf(line: string): string {
    const fields = line.split('\t');
    if (this.stream.key.length === 0) return line;
    return this.stream.key.map((name) => fields[this.stream.columns.indexOf(name)]).join('\t');
  }
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\t', '\\t').replaceAll('\r', '\\r');
}
