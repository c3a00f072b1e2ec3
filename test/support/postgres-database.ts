/** One database of a PostgreSQL server. Values are read as the server's own text; nothing passes through a JavaScript number or Date. */
import pg from 'pg';
import type { PostgresServer } from './postgres-server.ts';
import { waitFor } from './processes.ts';
import { onFileEnd } from './release.ts';
import { uniqueName } from './shared-server.ts';

export type TextRow = readonly (string | null)[];

const asText = { getTypeParser: () => (value: string | Buffer) => value.toString() };

/** One database of a server and a pool of connections to it, as its superuser. */
export class PostgresDatabase {
  readonly server: PostgresServer;
  readonly name: string;
  readonly #pool: pg.Pool;

  constructor(server: PostgresServer, name: string) {
    this.server = server;
    this.name = name;
    this.#pool = new pg.Pool({ ...this.clientOptions(), max: 4, idleTimeoutMillis: 1000, allowExitOnIdle: true });
    this.#pool.on('error', () => undefined);
  }

  clientOptions(): pg.ClientConfig {
    const { host, port, user, password } = this.server;
    return { host, port, user, password, database: this.name, types: asText, options: '-c timezone=UTC -c datestyle=ISO' };
  }

  get url(): string {
    const { host, port, user, password } = this.server;
    return `postgresql://${user}:${password}@${host}:${port}/${this.name}`;
  }

  /** What stands under `connection:` of a source, as YAML flow text; {@link secrets} has the variable. */
  get connection(): string {
    const { host, port, user } = this.server;
    return `{ host: ${host}, port: ${port}, database: ${this.name}, user: ${user}, password: "\${POSTGRES_PASSWORD}" }`;
  }

  get secrets(): Record<string, string> {
    return { POSTGRES_PASSWORD: this.server.password };
  }

  /** Rows as objects of text. Several statements may stand in `sql` where there are no parameters. */
  async query(sql: string, parameters: readonly unknown[] = []): Promise<Record<string, string>[]> {
    const result = (await this.#pool.query(sql, parameters.length === 0 ? undefined : [...parameters])) as pg.QueryResult | pg.QueryResult[];
    const last = Array.isArray(result) ? result.at(-1) : result;
    return (last?.rows ?? []) as Record<string, string>[];
  }

  /** First column of the first row. */
  async value(sql: string, parameters: readonly unknown[] = []): Promise<string | null> {
    const row = (await this.query(sql, parameters))[0];
    return row === undefined ? null : (Object.values(row)[0] ?? null);
  }

  /** A connection of its own, for open transactions; closed at the end of the test file where the test did not. */
  async client(): Promise<pg.Client> {
    const client = new pg.Client(this.clientOptions());
    client.on('error', () => undefined);
    await client.connect();
    onFileEnd(() => client.end().catch(() => undefined));
    return client;
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

/** A fresh database, closed at the end of the test file. `drop`: and removed, where the server outlives it. */
export async function createOn(server: PostgresServer, prefix: string, drop: boolean): Promise<PostgresDatabase> {
  const admin = new PostgresDatabase(server, 'postgres');
  const name = uniqueName(prefix);
  await admin.query(`CREATE DATABASE "${name}" TEMPLATE template0`);
  const database = new PostgresDatabase(server, name);
  onFileEnd(async () => {
    await database.close();
    if (drop) await dropped(admin, name);
    await admin.close();
  });
  return database;
}

/** The server waits five seconds for the sessions that it has told to end, and then refuses. */
async function dropped(admin: PostgresDatabase, name: string): Promise<void> {
  const inUse = '55006';
  const drop = async (): Promise<true | null> => {
    try {
      await admin.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
      return true;
    } catch (error) {
      if ((error as { code?: string }).code !== inUse) throw error;
      return null;
    }
  };
  await waitFor(`the sessions of ${name} to end`, drop);
}
