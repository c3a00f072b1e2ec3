/**
 * What a change of a stream's settings would drop or rewrite, told from the settings as applied and the destination alone, so that a source which can't
 * be reached hides nothing.
 */
import { isDeepStrictEqual } from 'node:util';
import type { CatalogStream } from '../destinations/postgres/catalog.ts';
import type { Session } from '../destinations/postgres/destination.ts';
import { parseTableName } from '../destinations/postgres/identifiers.ts';
import { countPast, type Retention } from '../destinations/postgres/retention.ts';
import { inspectTable } from '../destinations/postgres/target.ts';
import type { StreamSettings } from '../schemas/settings.ts';
import { approveReset } from './approvals.ts';
import type { Change } from './planned-change.ts';

/** Counting the rows that would go is worth no more than this. */
const COUNT_MAX_MS = 5_000;

export interface StreamChange {
  readonly source: string;
  /** As applied; undefined for a stream that is new to the catalog. */
  readonly before: CatalogStream | undefined;
  readonly now: StreamSettings;
  /** Target as the file has it. */
  readonly target: string;
}

/** Changes that hold the stream's settings back until they are approved, and those of its retention. Empty for a stream without rows. */
export async function planDestruction(session: Session, change: StreamChange): Promise<Change[]> {
  const { rows } = await session.query<{ loaded: boolean; read: LoadedBy | null }>(
    `select exists (select from tidemark.watermark where source = $1 and stream = $2) as loaded, (select plan->'read' from tidemark.stream where source = $1 and stream = $2) as read`,
    [change.source, change.now.name],
  );
  const { loaded, read } = rows[0]!;
  if (!loaded) return [];
  const rebuild = rebuildOf(change, read);
  const retention = await retentionChange(session, change);
  return [...(rebuild === null ? [] : [rebuild]), ...(retention === null ? [] : [retention])];
}

/** What rows were loaded by, under the source's names. */
interface LoadedBy {
  readonly key: readonly string[];
  readonly columns: readonly string[];
}

function rebuildOf({ source, before, now, target }: StreamChange, read: LoadedBy | null): Change | null {
  if (before === undefined) return null;
  const was = before.settings;
  const reasons = [
    was.target !== now.target && before.target !== target ? `target ${before.target} → ${target}; ${before.target} stays as it is` : null,
    keyChange(was, now, read?.key ?? null),
    columnsChange(was, now, read?.columns ?? []),
    was.mode !== now.mode && now.mode === 'replace' ? `mode ${was.mode} → replace` : null,
    maskChange(was, now),
  ].filter((reason) => reason !== null);
  if (reasons.length === 0) return null;
  return {
    action: 'rebuild_target',
    object: target,
    destructive: true,
    stream: now.name,
    holds: true,
    detail: `${reasons.join('; ')}: the next run builds ${target} from nothing and swaps`,
    make: (session) => approveReset(session, source, now.name, target),
  };
}

/** `used`: the key that rows were loaded by, under the source's names; null where that is not known. */
function keyChange(was: StreamSettings, now: StreamSettings, used: readonly string[] | null): string | null {
  if (isDeepStrictEqual(was.key, now.key)) return null;
  const before = used ?? was.key;
  const folded = (key: readonly string[] | null) => key?.map((name) => name.toLowerCase()).sort() ?? null;
  if (now.key !== null && isDeepStrictEqual(folded(before), folded(now.key))) return null;
  return `key ${before === null ? 'as found' : `(${before.join(', ')})`} → ${now.key === null ? 'as found' : `(${now.key.join(', ')})`}`;
}

/** Columns that were loaded and are not to be read any more. */
function columnsChange(was: StreamSettings, now: StreamSettings, loaded: readonly string[]): string | null {
  if (isDeepStrictEqual([was.include, was.exclude], [now.include, now.exclude])) return null;
  const names = (written: readonly string[], column: string) => written.some((name) => name.toLowerCase() === column.toLowerCase());
  const all = now.include.length === 0 || now.include.includes('*');
  const left = loaded.filter((column) => (!all && !names(now.include, column)) || names(now.exclude, column));
  return left.length === 0 ? null : `columns ${left.join(', ')} are not read any more, and their values go`;
}

function maskChange(was: StreamSettings, now: StreamSettings): string | null {
  const names = [...new Set([...Object.keys(was.masks), ...Object.keys(now.masks)])].sort();
  const changed = names.filter((name) => !isDeepStrictEqual(was.masks[name] ?? null, now.masks[name] ?? null));
  return changed.length === 0 ? null : `masks: ${changed.map((name) => `${name} ${maskText(was, name)} → ${maskText(now, name)}`).join(', ')}, and no older build is kept`;
}

function maskText(stream: StreamSettings, name: string): string {
  const mask = stream.masks[name];
  if (mask === undefined) return 'none';
  return `${mask.kind}${'key' in mask ? ` with ${mask.key}` : 'keep' in mask ? ` ${mask.keep}` : ''}`;
}

async function retentionChange(session: Session, { before, now, target }: StreamChange): Promise<Change | null> {
  const was = before?.settings.retention ?? null;
  const is = now.retention;
  if (isDeepStrictEqual(was, is)) return null;
  const object = `${before?.target ?? target}.${(is ?? was)!.column}`;
  if (is === null) return { action: 'remove_retention', object, destructive: false, stream: now.name, detail: 'rows are kept however old they are' };
  const longer = was !== null && was.column === is.column && (await isLonger(session, is.keep, was.keep));
  const sentence = `rows older than ${is.keep} are deleted${was === null ? '' : `, until now ${was.column === is.column ? '' : `by ${was.column} `}those older than ${was.keep}`}`;
  return { action: 'set_retention', object, destructive: !longer, stream: now.name, holds: !longer, identity: sentence, detail: `${sentence}; now that would be ${await pastNow(session, before?.target ?? target, is)}` };
}

async function isLonger(session: Session, keep: string, than: string): Promise<boolean> {
  const { rows } = await session.query<{ longer: boolean }>('select $1::interval >= $2::interval as longer', [keep, than]);
  return rows[0]!.longer;
}

/** `1,234 rows`; says so where they can't be counted in time. */
async function pastNow(session: Session, target: string, { column, keep }: { readonly column: string; readonly keep: string }): Promise<string> {
  const table = parseTableName(target);
  const facts = await inspectTable(session, table);
  const found = facts?.columns.find((each) => each.name === column) ?? facts?.columns.find((each) => each.name === column.toLowerCase());
  if (found === undefined || !/^(date|timestamp)/.test(found.type)) return 'none';
  const retention: Retention = { column: found.name, type: found.type, keep };
  await session.query('begin read only');
  try {
    await session.query(`set local statement_timeout = ${COUNT_MAX_MS}; set local lock_timeout = ${COUNT_MAX_MS}`);
    const rows = await countPast(session, table, retention);
    await session.query('commit');
    return `${rows.toLocaleString('en-US')} ${rows === 1 ? 'row' : 'rows'}`;
  } catch {
    await session.query('rollback');
    return 'more than could be counted in time';
  }
}
