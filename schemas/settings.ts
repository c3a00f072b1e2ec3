/**
 * The settings that a file means, after defaults are merged and both spellings of the format are one.
 * This is what `apply` stores in the catalog and what workers read. `${NAME}` references of `connection` stay unresolved
 * in it, so that no secret is stored; everything else is resolved.
 */

import type { EventType } from './event-types.ts';

export type Mode = 'upsert' | 'append' | 'replace';
export type Priority = 'critical' | 'high' | 'normal' | 'low';
export type Drift = 'evolve' | 'freeze' | 'ignore';

export interface Schedule {
  /** Seconds between polls, or null where `cron` is set. Both null: only run by hand. */
  readonly everySeconds: number | null;
  /** Five-field cron expression. */
  readonly cron: string | null;
  /** IANA name; `UTC` where the file says nothing. */
  readonly timeZone: string;
}

export type Mask =
  | { readonly kind: 'redact' | 'drop' | 'date_year' }
  | { readonly kind: 'partial'; readonly keep: number }
  | { readonly kind: 'hmac' | 'encrypt'; readonly key: string };

export interface Rule {
  readonly column: string | null;
  /** `not_null`, `unique`, `in`, `range`, `matches`, `references` or `sql`; `args` as written. */
  readonly check: string;
  readonly args: unknown;
  readonly otherwise: 'reject' | 'quarantine' | 'null' | 'stop';
}

export type Deletes =
  | { readonly detect: 'tombstone'; readonly column: string; readonly is: string; readonly apply: 'soft' | 'hard' }
  | { readonly detect: 'scan'; readonly everySeconds: number | null; readonly apply: 'soft' | 'hard' };

/** Opens after `failures` connection failures in a row, tries again after the cooldown, closes after `successes`. */
export interface Breaker {
  readonly failures: number;
  readonly cooldownSeconds: number;
  readonly successes: number;
}

export interface StreamSettings {
  /** The table as written in the file: the stream's name everywhere. */
  readonly name: string;
  /** `schema.table` in the destination, or null: `<source id>.<table>` with the table's bare name. */
  readonly target: string | null;
  readonly mode: Mode;
  /** Null: discovered. */
  readonly cursor: string | null;
  /** Null: discovered. */
  readonly key: readonly string[] | null;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly masks: Readonly<Record<string, Mask>>;
  /** Target column → SQL expression over the stage's columns. */
  readonly transforms: Readonly<Record<string, string>>;
  readonly rules: readonly Rule[];
  readonly deletes: Deletes | null;
  readonly retention: { readonly column: string; readonly keep: string } | null;
  readonly freshnessSeconds: number | null;
  /** Columns whose old values a load keeps in the touch log, as written; absent where none are named. */
  readonly touchLog?: readonly string[];
  /** Absent where the schedule of comparisons takes the stream along. */
  readonly reconcile?: false;
  readonly enabled: boolean;
  readonly priority: Priority;
  /** The stream's own schedule; null: the source's. */
  readonly schedule: Schedule | null;
  /** Rows per fetch from the source. */
  readonly fetchRows: number;
  /** Rows that commit together at most; null: the engine's own bound. */
  readonly batchRowsMax: number | null;
  readonly overlapSeconds: number;
  readonly futureLimitSeconds: number;
  /** Share of rows, 0 to 1. */
  readonly deleteCap: number;
  readonly keepGenerations: number;
  /** Share of rows, 0 to 1. */
  readonly badRowsMax: number;
  readonly drift: Drift;
  readonly statementTimeoutSeconds: number;
  /** Sessions that this stream may hold at once, within those of its source. */
  readonly sessionsMax: number;
  /** `HH:MM-HH:MM` in the time zone of the source's schedule, may span midnight; null: at any hour. */
  readonly readWindow: string | null;
  readonly breaker: Breaker;
  /** For connectors that know a choice of types, e.g. `{ zero_dates: "text", tinyint1: "boolean" }`. */
  readonly types: Readonly<Record<string, string>>;
}

export interface SourceSettings {
  readonly id: string;
  readonly name: string;
  /** The connector's `kind`, aliases resolved. */
  readonly kind: string;
  /** As written, `${NAME}` references kept. Valid against the connector's schema once resolved. */
  readonly connection: Readonly<Record<string, unknown>>;
  readonly fallback: Readonly<Record<string, unknown>> | null;
  readonly priority: Priority;
  readonly enabled: boolean;
  readonly schedule: Schedule;
  /** When its streams are compared by themselves; absent where they are not. */
  readonly reconcile?: Schedule;
  readonly statementTimeoutSeconds: number;
  readonly sessionsMax: number;
  /** `HH:MM-HH:MM` in the schedule's time zone, may span midnight; null: at any hour. */
  readonly readWindow: string | null;
  readonly breaker: Breaker;
  /** Where the keys that masks of this source name come from; absent where they name none. Never a key itself. */
  readonly keys?: KeySources;
  readonly streams: readonly StreamSettings[];
}

/** Mask keys: name → the variable or file that holds the key, for workers. */
export type KeySources = Readonly<Record<string, { readonly env: string } | { readonly file: string }>>;

export interface Settings {
  /** As written (`${DESTINATION_URL}`), reference kept; null where the file names none. */
  readonly destinationUrl: string | null;
  /** Mask keys: name → where the key comes from. */
  readonly keys: KeySources;
  readonly sources: readonly SourceSettings[];
  /** Absent where nobody is told of events. */
  readonly events?: EventsSettings;
}

export interface EventsSettings {
  readonly webhooks: readonly WebhookSettings[];
}

/** As written, references kept. */
export interface WebhookSettings {
  readonly url: string;
  readonly secret: string;
  /** Null: all. */
  readonly types: readonly EventType[] | null;
  /** http to another machine is allowed. */
  readonly insecure: boolean;
}
