/** From a file to {@link Settings}: read, resolve, check, merge. All problems are reported at once. */
import { z } from 'zod';
import { loadRegistry, type ConnectorRegistry } from '../../connectors/registry.ts';
import { configSchema, defaultsSchema, type DefaultsConfig, type SourceConfig } from '../../schemas/config.ts';
import { parseCoercing, type Path } from '../../schemas/config-coercion.ts';
import type { Variables } from '../../schemas/config-references.ts';
import type { Settings, SourceSettings } from '../../schemas/settings.ts';
import { crossChecks } from './checks.ts';
import { checkConnections, literalSecrets } from './connections.ts';
import { destinationProblems, keyProblems } from './destination.ts';
import { parseConfigText, readConfigText, type ConfigDocument } from './document.ts';
import { isGroup, sourceEntries, spellingOf, valueAt, type Spelling } from './file-shape.ts';
import { issueMessages, problemsOfIssues, type IssueProblem } from './issues.ts';
import { mergeSource } from './merge.ts';
import { ConfigurationError, formatPath, type Problem, type Remark } from './problem.ts';
import { substitute, VALUES_MAX, type Substitution } from './substitution.ts';
import { isDeferredWebhook, webhookProblems, webhooksOf } from './webhooks.ts';

export interface LoadOptions {
  readonly env: Variables;
  /**
   * True: a variable that is not set is an error wherever it stands. False: only where its value is needed now, that is not in
   * `connection`, `fallback`, `destination.url` and keys, which workers resolve at the moment of use.
   */
  readonly requireEnv: boolean;
}

export interface LoadedSettings {
  readonly file: string;
  readonly settings: Settings;
  readonly warnings: readonly Remark[];
}

/** Throws a {@link ConfigurationError}. */
export async function loadSettings(file: string, options: LoadOptions): Promise<LoadedSettings> {
  return settingsOf(parseConfigText(file, await readConfigText(file)), await loadRegistry(), options);
}

/** As {@link loadSettings} for a text; `file` is only shown. */
export async function loadSettingsFromText(file: string, text: string, options: LoadOptions): Promise<LoadedSettings> {
  return settingsOf(parseConfigText(file, text), await loadRegistry(), options);
}

/** Where values are resolved by workers, at the moment of use. */
function isDeferred(path: Path): boolean {
  const [top, second, third] = path;
  if (isDeferredWebhook(path)) return true;
  if (top === 'destination') return second === 'url';
  return (top === 'sources' || top === 'endpoints') && (third === 'connection' || third === 'fallback');
}

interface ParsedFile {
  readonly keys: Settings['keys'];
  readonly events: Parameters<typeof webhooksOf>[0];
  readonly defaults: DefaultsConfig;
  readonly sources: readonly { readonly path: Path; readonly source: SourceConfig }[];
}

async function settingsOf(document: ConfigDocument, registry: ConnectorRegistry, options: LoadOptions): Promise<LoadedSettings> {
  if (!isGroup(document.data)) throw new ConfigurationError(notAGroup(document));
  const tree = substitute(document.data, options.env, (path) => !options.requireEnv && isDeferred(path));
  if (tree === null) throw new ConfigurationError(tooManyValues(document));
  const spelling = spellingOf(document.data);
  const { parsed, problems } = parseTree(tree, spelling);
  const found: readonly IssueProblem[] = [
    ...tree.problems.map((each) => ({ ...each, part: 'value' as const })),
    ...problems,
    ...checkConnections(tree, spelling, registry),
    ...crossChecks(tree.data, spelling, registry),
    ...destinationProblems(tree),
    ...webhookProblems(tree, document.data),
    ...(options.requireEnv ? await keyProblems(tree, options.env) : []),
  ];
  const placed = found.map((each) => place(document, each));
  if (placed[0] !== undefined) throw new ConfigurationError(placed[0], placed.slice(1));
  const settings = merge(parsed, document, spelling, registry);
  const warnings = literalSecrets(document.data, spelling, registry).map((each) => remark(document, each.path, 'value', each.message, each.hint));
  return { file: document.file, settings, warnings: [...warnings, ...destinationWarnings(document, settings, options)] };
}

/** Parses head, defaults and each source for itself, so that one hides no problem of another. */
function parseTree(tree: Substitution, spelling: Spelling): { parsed: ParsedFile; problems: readonly IssueProblem[] } {
  const problems: IssueProblem[] = [];
  const parseAt = <T>(schema: z.ZodType<T>, path: Path): T | null => {
    const result = parseCoercing(schema, valueAt(tree.data, path), (inner) => tree.fromVariable([...path, ...inner]), issueMessages);
    if (result.success) return result.data;
    problems.push(...problemsOfIssues(result.error.issues, path).filter((each) => !tree.unresolved(each.path)));
    return null;
  };
  const { destination, keys, events } = configSchema.shape;
  const head = parseAt(z.strictObject({ destination, keys, events, defaults: z.unknown().optional(), [spelling.list]: z.array(z.looseObject({})) }), []);
  const defaults = parseAt(defaultsSchema.default({}), ['defaults']);
  const sources = sourceEntries(tree.data, spelling).flatMap(({ path }) => {
    const source = parseAt<Parameters<Spelling['toSource']>[0]>(spelling.schema, path);
    return source === null ? [] : [{ path, source: spelling.toSource(source) }];
  });
  const parsed = { keys: (head?.keys ?? {}) as Settings['keys'], events: head?.events as ParsedFile['events'], defaults: defaults ?? {}, sources };
  return { parsed, problems };
}

/** The source with the places of the keys that its masks name, since workers know the file only by what is applied. */
function withKeys(settings: SourceSettings, keys: Settings['keys']): SourceSettings {
  const named = new Set(settings.streams.flatMap((stream) => Object.values(stream.masks).flatMap((mask) => ('key' in mask ? [mask.key] : []))));
  const used = Object.entries(keys).filter(([name]) => named.has(name));
  return used.length === 0 ? settings : { ...settings, keys: Object.fromEntries(used) };
}

/** Takes from the file as written what must keep its references. */
function merge(parsed: ParsedFile, document: ConfigDocument, spelling: Spelling, registry: ConnectorRegistry): Settings {
  const sources = parsed.sources.map(({ path, source }): SourceSettings => {
    const written = (key: string): Readonly<Record<string, unknown>> | null => {
      const value = valueAt(document.data, [...path, key]);
      return isGroup(value) ? value : null;
    };
    const settings = mergeSource(parsed.defaults, source, registry.find(source.kind)?.kind ?? source.kind, { connection: written('connection') ?? {}, fallback: written('fallback') });
    return withKeys(settings, parsed.keys);
  });
  const url = valueAt(document.data, ['destination', 'url']);
  const events = webhooksOf(parsed.events, document.data);
  return { destinationUrl: typeof url === 'string' ? url : spelling.destinationUrl, keys: parsed.keys, sources, ...(events === undefined ? {} : { events }) };
}

/** A file that names no destination is complete; `up` brings one, and elsewhere the variable may be set. */
function destinationWarnings(document: ConfigDocument, settings: Settings, options: LoadOptions): readonly Remark[] {
  const named = valueAt(document.data, ['destination', 'url']) !== undefined;
  if (named || settings.sources.length === 0 || (options.env.DESTINATION_URL ?? '') !== '') return [];
  return [remark(document, [], 'value', 'No destination is named, and DESTINATION_URL is not set.', 'Set DESTINATION_URL, or use tidemark up, which brings a database.')];
}

function remark(document: ConfigDocument, path: Path, part: 'key' | 'value', message: string, hint: string | null): Remark {
  return { message, hint, path: formatPath(path), file: document.file, ...document.place(path, part) };
}

function place(document: ConfigDocument, { code, path, part, message, hint }: IssueProblem): Problem {
  return { code, ...remark(document, path, part, message, hint) };
}

function notAGroup(document: ConfigDocument): Problem {
  const empty = document.data === null || document.data === undefined;
  const message = empty ? 'The configuration file is empty.' : 'The configuration file holds no keys.';
  return { code: 'config.invalid', ...remark(document, [], 'value', message, 'Begin with sources:, or write a file to start from with tidemark init.') };
}

function tooManyValues(document: ConfigDocument): Problem {
  return { code: 'config.too_large', ...remark(document, [], 'value', `The file holds more than ${VALUES_MAX} values, or is nested too deeply.`, 'Split the sources over several files.') };
}
