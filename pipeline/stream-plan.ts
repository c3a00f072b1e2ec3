/** How a stream is carried from its source to its target: everything an activity needs to know, made once at the start of a run. */
import { createHash } from 'node:crypto';
import type { Capabilities, RowFormat, StreamRead } from '../connectors/connector.ts';
import { proposeCursor } from '../connectors/propose-cursor.ts';
import { parseTableName, type TableName } from '../destinations/postgres/identifiers.ts';
import type { PlannedRule, PlannedTransform } from '../destinations/postgres/rules.ts';
import type { FollowedShape } from '../destinations/postgres/shapes.ts';
import type { TypedColumn } from '../destinations/postgres/target.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Mode, StreamSettings } from '../schemas/settings.ts';
import type { Column, TableShape } from '../schemas/table.ts';
import { deletesNotes, planDeletes, type PlannedDeletes } from './deletes/planned-deletes.ts';
import { maskedType, maskNotes, mayMaskBinary, planMasks, type MaskPlan } from './masks/masked-columns.ts';
import { nearestName } from './nearest-name.ts';
import { planRetention, type PlannedRetention } from './retention-plan.ts';
import { planRules, planTransforms } from './rules/row-checks.ts';
import { planTouchLog } from './touch-log.ts';

/**
 * - `incremental`: reads on from the watermark.
 * - `rebuild`: builds a new generation in every run, since nothing tells what is new.
 */
export type Strategy = 'incremental' | 'rebuild';

export interface StreamPlan {
  readonly source: string;
  readonly stream: string;
  readonly mode: Mode;
  readonly strategy: Strategy;
  readonly target: TableName;
  readonly read: StreamRead;
  /** The stage's and target's columns, in the order of `read.columns`. */
  readonly columns: readonly TypedColumn[];
  /** Target names of the key; empty for a keyless stream. */
  readonly key: readonly string[];
  /** The source enforces that the key is unique and not null, so a batch holds each key once. */
  readonly keyProven: boolean;
  /** Target name of the cursor. */
  readonly cursor: string | null;
  readonly format: RowFormat;
  /** Absent in a plan that an earlier version kept. */
  readonly masks?: MaskPlan;
  readonly transforms?: readonly PlannedTransform[];
  readonly rules?: readonly PlannedRule[];
  /** Target names of the columns whose old values are logged; absent where there are none. */
  readonly touchLog?: readonly string[];
  /** Null or absent: nothing is done about rows that are deleted at the source. */
  readonly deletes?: PlannedDeletes | null;
  /** Null or absent: rows are kept however old they are. */
  readonly retention?: PlannedRetention | null;
  /** The target has the column of deletion times. */
  readonly marksDeletes?: boolean;
  readonly deleteCap: number;
  readonly keepGenerations: number;
  readonly badRowsMax: number;
  /** Rows that commit together, where the stream sets a bound of its own. */
  readonly batchRowsMax: number | null;
  /** Columns of the target whose column at the source is gone: every row that is written gets NULL there. */
  readonly retired?: readonly TypedColumn[];
  /** Types that the next generation has and the target has not. */
  readonly retype?: readonly TypedColumn[];
  /** What is remembered and told once the next generation, which alone can follow the source's table, has been swapped in. */
  readonly pending?: FollowedShape;
  /** Plain warnings for `plan`, `sync` and `status`. */
  readonly notes: readonly string[];
}

/** Makes the plan of a stream from its settings and the shape of its table; `proposes`: a cursor may be found where the settings name none. Throws where the settings do not fit the table. */
export function makeStreamPlan(sourceId: string, stream: StreamSettings, table: TableShape, capabilities: Capabilities, proposes = true): StreamPlan {
  const chosen = chooseColumns(stream, table, capabilities);
  const key = (stream.key ?? table.key).map((name) => findColumn(table, name, capabilities, 'source.key_missing', 'key').name);
  const cursor = chooseCursor(stream, table, capabilities, proposes);
  requireChosen(stream, chosen, [...key, ...(cursor === null ? [] : [cursor])]);
  const masks = planMasks({ stream, find: (name) => findColumn(table, name, capabilities, 'source.column_missing', 'mask'), columns: chosen, key, cursor });
  const deletes = planDeletes({ stream, find: (name) => findColumn(table, name, capabilities, 'source.column_missing', 'deletes.column'), columns: chosen, key, masks });
  const columns = chosen.filter((column) => !masks.dropped.includes(column.name)).map((column) => maskedColumn(column, masks));
  const retention = planRetention({ stream, find: (name) => findColumn(table, name, capabilities, 'source.column_missing', 'retention.column'), columns, masks });
  const ordered = cursor !== null && (capabilities.textCursors === true || table.columns.find((column) => column.name === cursor)?.order !== 'text');
  const strategy: Strategy = stream.mode === 'replace' || !ordered || key.length === 0 ? 'rebuild' : 'incremental';
  if (stream.mode === 'append' && key.length === 0) {
    throw new TidemarkError('source.key_missing', `Stream ${stream.name} is in mode append, but its table has no key.`, { hint: 'Name the columns that identify a row with key: [...], or use mode: replace.' });
  }
  if (stream.mode === 'append' && !ordered) {
    throw new TidemarkError('source.cursor_missing', `Stream ${stream.name} is in mode append, but nothing tells which rows are new.`, { hint: 'Name a column that grows with each insert with cursor: ...' });
  }
  const read: StreamRead = {
    table,
    columns: columns.map((column) => column.name),
    key,
    cursor: strategy === 'rebuild' ? null : cursor,
    overlapSeconds: stream.overlapSeconds,
    futureLimitSeconds: stream.futureLimitSeconds,
    fetchRows: stream.fetchRows,
    types: stream.types,
  };
  const checks = { stream, columns, foldsToUpper: capabilities.foldsToUpper, key: key.map((name) => targetNameOf(columns, name)) };
  return {
    source: sourceId,
    stream: stream.name,
    mode: stream.mode,
    strategy,
    target: targetOf(sourceId, stream, table, capabilities),
    read,
    columns: columns.map((column) => ({ name: column.targetName, type: column.pgType })),
    key: checks.key,
    keyProven: key.length > 0 && table.key.length > 0 && table.key.every((name) => key.includes(name)),
    cursor: cursor === null ? null : targetNameOf(columns, cursor),
    format: capabilities.formats.includes('copy-binary') && mayMaskBinary(masks) ? 'copy-binary' : 'copy-text',
    masks,
    transforms: planTransforms(checks),
    rules: planRules(checks),
    ...(stream.touchLog === undefined ? {} : { touchLog: planTouchLog({ stream: stream.name, names: stream.touchLog, columns, added: Object.keys(stream.transforms), foldsToUpper: capabilities.foldsToUpper }) }),
    deletes,
    retention,
    deleteCap: stream.deleteCap,
    keepGenerations: stream.keepGenerations,
    badRowsMax: stream.badRowsMax,
    batchRowsMax: stream.batchRowsMax,
    notes: [...notesOf(stream, table, columns, key, cursor, ordered), ...maskNotes(masks), ...deletesNotes(deletes, strategy === 'rebuild')],
  };
}

/** Rows must be looked at in a stage before they are loaded. */
export function hasChecks(plan: StreamPlan): boolean {
  return (plan.transforms ?? []).length > 0 || (plan.rules ?? []).length > 0 || (plan.retention ?? null) !== null;
}

/** The target's columns: those of the stage, and those that transforms add. */
export function targetColumnsOf(plan: StreamPlan): TypedColumn[] {
  const added = (plan.transforms ?? []).filter((each) => !plan.columns.some((column) => column.name === each.name));
  return [...plan.columns, ...added.map((each) => ({ name: each.name, type: each.type ?? 'text' }))];
}

/** Same hash: an interrupted build of one plan can be gone on with under the other. */
export function shapeHash(plan: StreamPlan, masks: string): string {
  return createHash('sha256').update(JSON.stringify([plan.target, plan.columns, plan.key, plan.mode, plan.strategy, plan.read.table.identity, ...(masks === '' ? [] : [masks]), ...(hasChecks(plan) ? [plan.transforms, plan.rules] : []), ...(plan.deletes?.tombstone ? [plan.deletes] : []), ...(plan.marksDeletes === true ? ['marks'] : [])])).digest('hex');
}

/** The target of a stream before its table is known: as written, or by the table's bare name. */
export function targetOf(sourceId: string, stream: StreamSettings, table: Pick<TableShape, 'name'> | null, capabilities: Capabilities): TableName {
  if (stream.target !== null) return parseTableName(stream.target);
  const bare = table?.name ?? stream.name.split('.').at(-1)!.replace(/^"(.*)"$/, '$1');
  return { schema: sourceId, name: capabilities.foldsToUpper && bare === bare.toUpperCase() ? bare.toLowerCase() : bare };
}

function chooseColumns(stream: StreamSettings, table: TableShape, capabilities: Capabilities): Column[] {
  const all = stream.include.length === 0 || stream.include.includes('*');
  const included = new Set(all ? [] : stream.include.map((name) => findColumn(table, name, capabilities, 'source.column_missing', 'columns.include').name));
  const excluded = new Set(stream.exclude.map((name) => findColumn(table, name, capabilities, 'source.column_missing', 'columns.exclude').name));
  return table.columns.filter((column) => (all || included.has(column.name)) && !excluded.has(column.name));
}

/** The column as the target will have it. */
function maskedColumn(column: Column, masks: MaskPlan): Column {
  const masked = masks.columns.find((each) => each.name === column.name);
  return masked === undefined ? column : { ...column, pgType: maskedType(masked.mask) };
}

function chooseCursor(stream: StreamSettings, table: TableShape, capabilities: Capabilities, proposes: boolean): string | null {
  if (stream.mode === 'replace') return null;
  if (stream.cursor === null) return proposes ? proposeCursor(table) : null;
  const column = findColumn(table, stream.cursor, capabilities, 'source.cursor_missing', 'cursor');
  if (column.order === 'none') {
    throw new TidemarkError('source.cursor_unusable', `Column ${column.name} of ${stream.name} (${column.nativeType}) has no order that tells what is new.`, { hint: 'Choose a time or number column as cursor.' });
  }
  return column.name;
}

function findColumn(table: TableShape, name: string, capabilities: Capabilities, code: 'source.column_missing' | 'source.key_missing' | 'source.cursor_missing', setting: string): Column {
  const found =
    table.columns.find((column) => column.name === name) ??
    (capabilities.foldsToUpper ? table.columns.find((column) => column.name === name.toUpperCase()) : undefined);
  if (found) return found;
  const near = nearestName(name, table.columns.map((column) => column.name));
  throw new TidemarkError(code, `${setting} names the column ${name}, which ${table.schema}.${table.name} does not have.`, { hint: near === null ? 'It may have been dropped or renamed at the source.' : `The nearest column is ${near}; or it was dropped or renamed at the source.` });
}

function requireChosen(stream: StreamSettings, columns: readonly Column[], needed: readonly string[]): void {
  const lost = needed.find((name) => !columns.some((column) => column.name === name));
  if (lost !== undefined) throw new TidemarkError('source.column_missing', `Stream ${stream.name} excludes the column ${lost}, which is its key or cursor.`, { hint: 'Take it out of columns.exclude.' });
}

function targetNameOf(columns: readonly Column[], name: string): string {
  return columns.find((column) => column.name === name)!.targetName;
}

function notesOf(stream: StreamSettings, table: TableShape, columns: readonly Column[], key: readonly string[], cursor: string | null, ordered: boolean): string[] {
  const notes = columns.filter((column) => column.note !== undefined).map((column) => `${column.name}: ${column.note}`);
  notes.push(...columns.filter((column) => column.targetName !== column.name && column.targetName !== column.name.toLowerCase()).map((column) => `${column.name} is kept as ${column.targetName}`));
  if (stream.mode === 'replace') return notes;
  if (key.length === 0) notes.push(`${table.name} has no key, so every run is a full refresh`);
  else if (cursor === null) notes.push(`${table.name} has no cursor, so every run is a full refresh`);
  else if (!ordered) notes.push(`the order of the text column ${cursor} does not tell what is new, so every run is a full refresh`);
  return notes;
}
