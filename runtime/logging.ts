/**
 * Logs go to stderr: one JSON object a line in a pipe, short lines on a terminal. Every line passes through
 * {@link maskSecrets}; errors are written by {@link describeError}, which leaves out what a driver said.
 */
import type { Logger as TemporalLogger, LogLevel as TemporalLevel, LogMetadata } from '@temporalio/common';
import { pino, type Logger } from 'pino';
import picocolors from 'picocolors';
import { TidemarkError } from '../schemas/errors.ts';
import { environment } from './environment.ts';
import { maskSecrets } from './secret-masking.ts';

export type { Logger } from 'pino';

const TEXT_LENGTH_MAX = 2_000;
/** Facts of foreign errors that can't hold a row's value. */
const SAFE_FACTS = ['code', 'errno', 'syscall', 'schema', 'table', 'column', 'constraint', 'dataType', 'severity', 'type'] as const;

/**
 * What may be written of an error. Of a {@link TidemarkError} its code, message and hint; of any other its name, its codes and
 * the stack's frames, never its message: databases quote rows in messages.
 */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { name: typeof error };
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)).slice(0, 12);
  const cause = error.cause === undefined ? {} : { cause: describeError(error.cause) };
  if (error instanceof TidemarkError) return { ...error.info(), ...cause };
  const facts = SAFE_FACTS.flatMap((name) => {
    const value: unknown = Reflect.get(error, name);
    return typeof value === 'string' || typeof value === 'number' ? [[name, value] as const] : [];
  });
  return { name: error.name, ...Object.fromEntries(facts), frames, ...cause };
}

function terminalLine(json: string): string {
  const { level, time, msg, pid: _pid, hostname: _hostname, ...rest } = JSON.parse(json) as Record<string, unknown>;
  const name = pino.levels.labels[Number(level)] ?? 'info';
  const color = Number(level) >= 50 ? picocolors.red : Number(level) >= 40 ? picocolors.yellow : picocolors.dim;
  const facts = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return `${color(`${String(time)} ${name.padEnd(5)}`)} ${typeof msg === 'string' ? msg : ''} ${picocolors.dim(facts.join(' '))}\n`;
}

const masked = {
  write(line: string): void {
    const safe = maskSecrets(line);
    process.stderr.write(process.stderr.isTTY ? terminalLine(safe) : safe);
  },
};

let root: Logger | null = null;

/** The process's logger, or a child of it that adds `bindings` to each line. */
export function logger(bindings: Record<string, string | number> = {}): Logger {
  root ??= pino(
    {
      level: environment().TIDEMARK_LOG_LEVEL,
      base: { pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      serializers: { err: describeError, error: describeError },
    },
    masked,
  );
  return Object.keys(bindings).length === 0 ? root : root.child(bindings);
}

function writable(value: unknown): unknown {
  if (value instanceof Error) return describeError(value);
  if (typeof value === 'string') return value.length > TEXT_LENGTH_MAX ? `${value.slice(0, TEXT_LENGTH_MAX)}…` : value;
  if (typeof value === 'bigint') return value.toString();
  return value;
}

/** For `Runtime.install({ logger: temporalLogger() })` of @temporalio/worker: the SDK's lines through the same sink. */
export function temporalLogger(parent: Logger = logger({ component: 'temporal' })): TemporalLogger {
  const log = (level: TemporalLevel, message: string, meta: LogMetadata = {}): void => {
    const facts = Object.fromEntries(Object.entries(meta).map(([key, value]) => [key, writable(value)]));
    const name = level.toLowerCase() as 'trace' | 'debug' | 'info' | 'warn' | 'error';
    parent[name](facts, message);
  };
  return {
    log,
    trace: (message, meta) => log('TRACE', message, meta),
    debug: (message, meta) => log('DEBUG', message, meta),
    info: (message, meta) => log('INFO', message, meta),
    warn: (message, meta) => log('WARN', message, meta),
    error: (message, meta) => log('ERROR', message, meta),
  };
}
