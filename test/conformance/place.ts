/** What the conformance suite asks of a connector's own file: how to get a server, and how its SQL spells what the suite needs. */
import type { ConnectorManifest, SourceSession, StreamRead } from '../../connectors/connector.ts';
import type { Needs } from '../support/describe-with.ts';
import { onFileEnd } from '../support/release.ts';

/** One database of one server, and its dialect. */
export interface Place {
  /** As under `connection:`, resolved. */
  readonly connection: Readonly<Record<string, unknown>>;
  /** `create table` for `(id, name, amount, at)`: integer key, text of 60, decimal(20,4), timestamp with microseconds, NOT NULL all but name; an index on `at`. */
  create(table: string): string[];
  /** The same columns without a key. */
  createKeyless(table: string): string[];
  /** A timestamp literal of `2024-01-02 09:00:00.123456`. */
  time(text: string): string;
  /** Commits at once. */
  run(sql: string): Promise<void>;
  /** The name of a table or column in quotes. */
  quote(name: string): string;
  /** Names of columns that the server admits: reserved, mixed case, non-ASCII, its longest. */
  readonly names: readonly string[];
  /** A table of that name, one word for a type that holds microseconds without a zone. */
  readonly timeType: string;
  /** Statements that make a table `name` `(id, v)` and a row 1 whose `v` is a text of `x`, 2^26 characters. */
  large(name: string): string[];
  /** A connection of a user who may log in but not read the table; made after the table. */
  stranger(table: string): Promise<Readonly<Record<string, unknown>>>;
}

/** Tests that a connector may be excused from, by name. */
export type Waivable = 'large value' | 'privilege' | 'slices' | 'rows by key' | 'comparison';

export interface Subject {
  readonly needs: Needs;
  readonly manifest: ConnectorManifest;
  /** Why a test does not hold for this connector or its stand-in; everything else is strict. */
  readonly waivers?: Readonly<Partial<Record<Waivable, string>>>;
  prepare(): Promise<Place>;
}

/** What the tests of one subject share. */
export interface Ground {
  readonly manifest: ConnectorManifest;
  readonly place: Place;
  readonly session: SourceSession;
}

export const options = (signal: AbortSignal) => ({ applicationName: 'tidemark conformance', connectTimeoutMs: 10_000, statementTimeoutMs: 120_000, signal });

export async function openSession(manifest: ConnectorManifest, connection: unknown, signal = new AbortController().signal): Promise<SourceSession> {
  const session = await (await manifest.load()).connect(manifest.connectionSchema.parse(connection), options(signal));
  onFileEnd(() => session.close());
  return session;
}

/** The read of a table by its columns' names in lower case; null: all of them. */
export async function readOf(session: SourceSession, table: string, cursor: string | null, columns: readonly string[] | null = null): Promise<StreamRead> {
  const shape = await session.describe(table, {});
  const named = (name: string) => shape.columns.find((column) => column.name.toLowerCase() === name)?.name ?? name;
  return {
    table: shape,
    columns: columns === null ? shape.columns.map(({ name }) => name) : columns.map(named),
    key: shape.key,
    cursor: cursor === null ? null : named(cursor),
    overlapSeconds: 0,
    futureLimitSeconds: 86_400,
    fetchRows: 100,
    types: {},
  };
}
