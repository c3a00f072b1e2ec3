/** Recorded histories: one file for each execution, as JSON of Temporal's own, with one event on a line. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, 'histories');

export interface RecordedHistory {
  readonly name: string;
  readonly workflowId: string;
  /** As Temporal's command line exports them. */
  readonly events: readonly RecordedEvent[];
}

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export interface RecordedEvent {
  readonly eventType: string;
  readonly [attributes: string]: Json;
}

export function recordedHistories(): readonly RecordedHistory[] {
  return readdirSync(FOLDER).filter((name) => name.endsWith('.json')).sort().map((name) => {
    const { workflowId, events } = JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as { workflowId: string; events: RecordedEvent[] };
    return { name: name.replace(/\.json$/, ''), workflowId, events };
  });
}

export function forgetHistories(): void {
  for (const name of readdirSync(FOLDER)) rmSync(join(FOLDER, name));
}

/** Writes one execution. Names of machines and frames of stacks, which say where it was recorded, are left out; replay needs neither. */
export function writeHistory(name: string, workflowId: string, events: readonly unknown[]): void {
  const lines = events.map((event) => JSON.stringify(withoutPlace(event as Json)));
  writeFileSync(join(FOLDER, `${name}.json`), `{"workflowId":${JSON.stringify(workflowId)},"events":[\n${lines.join(',\n')}\n]}\n`);
}

function withoutPlace(value: Json, key = ''): Json {
  if (key === 'identity') return 'recorded';
  if (typeof value === 'string') return value.replaceAll(hostname(), 'host');
  if (Array.isArray(value)) return value.map((each: Json) => withoutPlace(each, key));
  if (typeof value !== 'object' || value === null) return value;
  if (key === 'encodedAttributes') return withoutFrames(value as { data: string });
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withoutPlace(each, name)]));
}

function withoutFrames(payload: { readonly data: string }): Json {
  const attributes = JSON.parse(Buffer.from(payload.data, 'base64').toString()) as Record<string, Json>;
  return { ...payload, data: Buffer.from(JSON.stringify({ ...attributes, stack_trace: '' })).toString('base64') };
}
