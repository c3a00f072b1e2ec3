/** The destination's URL and the keys for masks: what a file says about them, held against the environment. */
import { readFile } from 'node:fs/promises';
import type { Variables } from '../../schemas/config-references.ts';
import { isGroup, valueAt } from './file-shape.ts';
import type { IssueProblem } from './issues.ts';
import type { Substitution } from './substitution.ts';

const KEY_BYTES = 32;

/** Only the form; whether somebody answers is for `check`. */
export function destinationProblems(tree: Substitution): readonly IssueProblem[] {
  const path = ['destination', 'url'];
  const url = valueAt(tree.data, path);
  if (typeof url !== 'string' || tree.unresolved(path)) return [];
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed !== null && /^postgres(ql)?:$/.test(parsed.protocol) && parsed.pathname.length > 1) return [];
  return [{
    code: 'config.invalid', path, part: 'value', message: 'This is not the URL of a PostgreSQL database.',
    hint: 'Write postgresql://user:password@host:5432/database; characters such as @ : / # in a password are percent-encoded.',
  }];
}

/** Strict base64 of 32 bytes that are not all the same. */
function isKey(text: string): boolean {
  const trimmed = text.trim();
  const bytes = Buffer.from(trimmed, 'base64');
  return bytes.length === KEY_BYTES && bytes.toString('base64') === trimmed && new Set(bytes).size > 1;
}

async function keyText(source: Readonly<Record<string, unknown>>, env: Variables): Promise<string | null> {
  if (typeof source.env === 'string') return env[source.env] ?? null;
  if (typeof source.file !== 'string') return null;
  return readFile(source.file, 'utf8').catch(() => null);
}

/** A key that is missing or is not 32 bytes in base64. */
export async function keyProblems(tree: Substitution, env: Variables): Promise<readonly IssueProblem[]> {
  const keys = valueAt(tree.data, ['keys']);
  if (!isGroup(keys)) return [];
  const checked = Object.entries(keys).map(async ([name, source]): Promise<readonly IssueProblem[]> => {
    if (!isGroup(source) || (typeof source.env !== 'string' && typeof source.file !== 'string')) return [];
    const text = await keyText(source, env);
    const where = typeof source.env === 'string' ? `variable ${source.env}` : 'file';
    if (text !== null && text.trim() !== '' && isKey(text)) return [];
    const message = text === null || text.trim() === '' ? `The key ${JSON.stringify(name)} is missing: its ${where} is not set, not readable or empty.` : `The key ${JSON.stringify(name)} is not 32 bytes in base64.`;
    return [{ code: 'config.key_missing', path: ['keys', name], part: 'value', message, hint: 'Make one with: openssl rand -base64 32' }];
  });
  return (await Promise.all(checked)).flat();
}
