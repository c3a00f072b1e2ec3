/** The file as a tree of plain values that still knows the line and column of each. YAML 1.2; JSON is YAML. */
import { createReadStream } from 'node:fs';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit, type Document, type Node, type YAMLError } from 'yaml';
import type { ErrorCode } from '../../schemas/errors.ts';
import { ConfigurationError, type Problem } from './problem.ts';
import { SYNTAX_SENTENCES } from './syntax-sentences.ts';

/** Ten thousand sources with a few streams each are 8 MB. */
export const FILE_BYTES_MAX = 16 * 1024 * 1024;

/** Uses of anchors, nested ones multiplied: enough for a fleet that shares one anchor, too few for a bomb of aliases. */
const ALIASES_MAX = 10_000;

export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface ConfigDocument {
  /** Name of the file as it is shown. */
  readonly file: string;
  /** Plain objects, arrays, texts, numbers, booleans and nulls. Numbers that JavaScript can't hold exactly are texts. */
  readonly data: unknown;
  /** Where the value at `path` stands, or its key; the nearest one above it that does where it does not. */
  place(path: readonly PropertyKey[], part: 'key' | 'value'): Place;
}

const whole = (file: string, code: ErrorCode, message: string, hint: string, at: Place = { line: 1, column: 1 }): Problem => ({
  code, message, hint, path: '', file, ...at,
});

/** Reads at most {@link FILE_BYTES_MAX}, from a file or a pipe. Throws `config.file_missing`, `config.too_large`, `config.syntax`. */
export async function readConfigText(file: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(file, { end: FILE_BYTES_MAX }) as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
    }
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const message = missing ? `The configuration file ${file} does not exist.` : `The configuration file ${file} can't be read.`;
    throw new ConfigurationError(whole(file, 'config.file_missing', message, missing ? 'Write one with tidemark init, or name another with --config FILE.' : 'Name a readable file with --config FILE.'));
  }
  if (bytes > FILE_BYTES_MAX) {
    throw new ConfigurationError(whole(file, 'config.too_large', `The configuration file is larger than ${FILE_BYTES_MAX / 1024 / 1024} MB.`, 'Split the sources over several files.'));
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new ConfigurationError(whole(file, 'config.syntax', 'The configuration file is not UTF-8 text.', 'Save it as UTF-8.'));
  }
}

/** Throws a {@link ConfigurationError} with all problems of `config.syntax`, or `config.too_large` for a bomb of aliases. */
export function parseConfigText(file: string, text: string): ConfigDocument {
  const lines = new LineCounter();
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const document = parseTree(file, text, lines);
  const problems = tellingErrors(document).map((error) => syntaxProblem(file, error, at(error.pos[0])));
  problems.push(...refusedNodes(file, document, at));
  if (problems[0] !== undefined) throw new ConfigurationError(problems[0], problems.slice(1));
  return { file, data: plain(file, document), place: (path, part) => at(offsetOf(document, path, part)) };
}

function parseTree(file: string, text: string, lineCounter: LineCounter): Document.Parsed {
  try {
    return parseDocument(text, { lineCounter, prettyErrors: false, logLevel: 'error', merge: true, stringKeys: true, uniqueKeys: true });
  } catch {
    throw new ConfigurationError(whole(file, 'config.syntax', 'The file is nested too deeply to be read.', 'A configuration has about six levels.'));
  }
}

/** One error for each place. After one thing that is not expected the parser expects little else: the first tells enough. A file that is nested too deeply says so once: what the parser meets after that means nothing. */
function tellingErrors(document: Document.Parsed): readonly YAMLError[] {
  const errors: readonly YAMLError[] = [...document.errors, ...document.warnings];
  const exhausted = errors.find((error) => error.code === 'RESOURCE_EXHAUSTION');
  if (exhausted !== undefined) return [exhausted];
  const unexpected = errors.find((error) => error.code === 'UNEXPECTED_TOKEN');
  const telling = errors.filter((error) => error.code !== 'UNEXPECTED_TOKEN' || error === unexpected);
  return [...new Map(telling.map((error) => [error.pos[0], error])).values()];
}

/** The library's own message quotes the line, and with it a password; only its code and place are used. */
function syntaxProblem(file: string, error: YAMLError, place: Place): Problem {
  const [message, hint] = SYNTAX_SENTENCES[error.code] ?? ['This is not valid YAML.', 'Check indentation, quotes and brackets around here.'];
  return { code: 'config.syntax', message, hint, path: '', file, ...place };
}

/** Refuses aliases of nothing and keys that JavaScript treats as more than a key, and makes texts of numbers that would lose digits. */
function refusedNodes(file: string, document: Document.Parsed, at: (offset: number) => Place): readonly Problem[] {
  const problems: Problem[] = [];
  const anchors = new Set<string>();
  visit(document, {
    Collection(_key, node) {
      if (node.anchor !== undefined) anchors.add(node.anchor);
    },
    Alias(_key, node) {
      const [message, hint] = SYNTAX_SENTENCES.BAD_ALIAS ?? ['', ''];
      if (!anchors.has(node.source)) problems.push(whole(file, 'config.syntax', message, hint, at(node.range?.[0] ?? 0)));
    },
    Scalar(key, node) {
      if (node.anchor !== undefined) anchors.add(node.anchor);
      if (key === 'key' && node.value === '__proto__') {
        problems.push({ ...whole(file, 'config.invalid', 'The key __proto__ is not allowed.', 'Remove it.', at(node.range?.[0] ?? 0)), path: '__proto__' });
      }
      if (typeof node.value === 'number' && node.source !== undefined && losesDigits(node.value, node.source)) node.value = node.source;
    },
  });
  return problems;
}

function losesDigits(value: number, source: string): boolean {
  const digits = source.replace(/e.*$/i, '').replace(/\D/g, '').replace(/^0+/, '');
  return Number.isInteger(value) && /^[+-]?\d+$/.test(source) ? !Number.isSafeInteger(value) || /^[+-]?0\d/.test(source) : digits.length > 15 || !Number.isFinite(value);
}

function plain(file: string, document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch {
    throw new ConfigurationError(whole(file, 'config.too_large', 'The aliases (*name) of this file multiply beyond all measure.', 'Use an anchor for one level only.'));
  }
}

function offsetOf(document: Document.Parsed, path: readonly PropertyKey[], part: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, step] of path.entries()) {
    const found = childOf(document, node, step);
    if (found === null) return offset;
    node = found.value;
    const ofKey = startOf(found.key);
    const wantsKey = part === 'key' && index === path.length - 1;
    offset = (wantsKey ? ofKey : startOf(node)) ?? ofKey ?? offset;
  }
  return offset;
}

const startOf = (node: unknown): number | undefined => (node as Node | null | undefined)?.range?.[0];

function childOf(document: Document.Parsed, node: unknown, step: PropertyKey): { key: unknown; value: unknown } | null {
  const target: unknown = isAlias(node) ? node.resolve(document) : node;
  if (isSeq(target)) return Number(step) < target.items.length ? { key: null, value: target.items[Number(step)] } : null;
  if (!isMap(target)) return null;
  const own = target.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(step));
  if (own !== undefined) return own;
  for (const pair of target.items) {
    if (!isScalar(pair.key) || pair.key.source !== '<<') continue;
    const merged: readonly unknown[] = isSeq(pair.value) ? pair.value.items : [pair.value];
    for (const source of merged) {
      const found = childOf(document, source, step);
      if (found !== null) return found;
    }
  }
  return null;
}
