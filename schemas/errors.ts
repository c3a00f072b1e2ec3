/**
 * Errors as data. A connector or the destination classifies a failure where it understands it and throws a
 * {@link TidemarkError}; everything above only reads `code`, `retry` and `hint`.
 *
 * Messages and hints name tables, columns, hosts and settings. They never hold a password, a token or the value of a row.
 */

/**
 * What a caller may do about it.
 * - `transient`: the same call may succeed later; retried with backoff.
 * - `throttled`: as transient, after `retryAfterMs`.
 * - `unreachable`: as transient, and it counts for the circuit breaker of the source; never parks a stream.
 * - `permanent`: only a change by a person helps; parks the stream at once.
 */
export type Retry = 'transient' | 'throttled' | 'unreachable' | 'permanent';

/** Exit status of the command line for an error that ends a command. */
export type ExitCode = 1 | 2 | 3 | 130;

interface CodeFacts {
  readonly retry: Retry;
  readonly exit: ExitCode;
}

const permanent = (exit: ExitCode = 1): CodeFacts => ({ retry: 'permanent', exit });

/** Every code, with what follows from it. Stable: never renamed, never reused. */
export const ERROR_CODES = {
  'config.file_missing': permanent(2),
  'config.syntax': permanent(2),
  'config.unknown_key': permanent(2),
  'config.invalid': permanent(2),
  'config.unknown_kind': permanent(2),
  'config.duplicate': permanent(2),
  'config.too_large': permanent(2),
  'config.variable_missing': permanent(2),
  'config.key_missing': permanent(2),
  'config.exists': permanent(2),
  'config.unsupported': permanent(2),
  'usage.invalid': permanent(2),
  'usage.unknown_source': permanent(2),
  'usage.unknown_stream': permanent(2),
  'usage.unknown_approval': permanent(2),
  'usage.approval_closed': permanent(2),

  'source.unreachable': { retry: 'unreachable', exit: 1 },
  'source.host_unknown': { retry: 'unreachable', exit: 1 },
  'source.connection_lost': { retry: 'unreachable', exit: 1 },
  'source.too_many_connections': { retry: 'unreachable', exit: 1 },
  'source.sessions_busy': { retry: 'throttled', exit: 1 },
  'source.breaker_open': { retry: 'unreachable', exit: 1 },
  'source.replica_behind': { retry: 'transient', exit: 1 },
  'source.fallback_unusable': permanent(),
  'source.outside_read_window': { retry: 'throttled', exit: 1 },
  'source.auth_failed': permanent(),
  'source.database_missing': permanent(),
  'source.tls_failed': permanent(),
  'source.protocol': permanent(),
  'source.not_replica': permanent(),
  'source.driver_missing': permanent(3),
  'source.table_missing': permanent(),
  'source.table_ambiguous': permanent(),
  'source.column_missing': permanent(),
  'source.cursor_missing': permanent(),
  'source.cursor_unusable': permanent(),
  'source.key_missing': permanent(),
  'source.privilege_missing': permanent(),
  'source.type_unsupported': permanent(),
  'source.schema_changed': permanent(),
  'source.history_lost': permanent(),
  'source.statement_timeout': { retry: 'transient', exit: 1 },
  'source.read_interrupted': { retry: 'transient', exit: 1 },
  'source.row_refused': { retry: 'transient', exit: 1 },
  'source.batch_overfull': { retry: 'transient', exit: 1 },
  'source.query_failed': permanent(),

  'target.unreachable': { retry: 'unreachable', exit: 3 },
  'target.host_unknown': { retry: 'unreachable', exit: 3 },
  'target.connection_lost': { retry: 'transient', exit: 1 },
  'target.too_many_connections': { retry: 'unreachable', exit: 3 },
  'target.auth_failed': permanent(3),
  'target.database_missing': permanent(3),
  'target.version_unsupported': permanent(3),
  'target.privilege_missing': permanent(),
  'target.type_mismatch': permanent(),
  'target.column_conflict': permanent(),
  'target.not_ours': permanent(),
  'target.table_missing': permanent(),
  'target.constraint': permanent(),
  'target.disk_full': { retry: 'transient', exit: 1 },
  'target.locked': { retry: 'transient', exit: 1 },
  'target.read_only': { retry: 'transient', exit: 1 },
  'target.shrinks': permanent(),
  'target.deletes_above_cap': permanent(),
  'target.query_failed': permanent(),
  'target.not_configured': permanent(2),

  'batch.fenced': { retry: 'transient', exit: 1 },
  'batch.stage_lost': { retry: 'transient', exit: 1 },
  'batch.equation': { retry: 'transient', exit: 1 },
  'batch.bad_rows': permanent(),
  'batch.rule_broken': permanent(),
  'batch.row_too_large': permanent(),
  'batch.cancelled': { retry: 'transient', exit: 130 },

  'mask.unreadable': permanent(),

  'temporal.unreachable': { retry: 'transient', exit: 3 },
  'temporal.no_worker': { retry: 'transient', exit: 3 },
  'temporal.not_installed': permanent(3),
  'up.already_running': permanent(3),
  'up.port_in_use': permanent(3),
  'up.data_dir_unusable': permanent(3),
  'up.server_failed': permanent(3),
  'up.interrupted': permanent(130),
  'run.schema_frozen': permanent(),
  'run.approval_rejected': permanent(),
  'run.not_applied': permanent(2),
  'run.failed': permanent(),
  'run.unstable': permanent(),
  'run.incomplete': { retry: 'transient', exit: 1 },
  'internal.unexpected': { retry: 'transient', exit: 1 },
} as const satisfies Record<string, CodeFacts>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What is kept of an error where it is shown: CLI, status, ledger, Temporal failure details. */
export interface ErrorInfo {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | null;
  /** Where in the configuration file it is, for example `sources[3].connection.host`. */
  readonly path?: string;
}

export interface TidemarkErrorOptions {
  readonly hint?: string;
  readonly path?: string;
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** The only error that leaves a folder of ours. `message` is safe to show; `cause` is not, and is never logged. */
export class TidemarkError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | null;
  readonly path: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: TidemarkErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.name = 'TidemarkError';
    this.code = code;
    this.hint = options.hint ?? null;
    this.path = options.path;
    this.retryAfterMs = options.retryAfterMs;
  }

  get retry(): Retry {
    return ERROR_CODES[this.code].retry;
  }

  get exit(): ExitCode {
    return ERROR_CODES[this.code].exit;
  }

  info(): ErrorInfo {
    return { code: this.code, message: this.message, hint: this.hint, ...(this.path === undefined ? {} : { path: this.path }) };
  }
}
