/** `connection` and `fallback` of each source, held against the schema of its connector's manifest. No driver is loaded. */
import type { ConnectorManifest } from '../../connectors/connector.ts';
import type { ConnectorRegistry } from '../../connectors/registry.ts';
import { parseCoercing, type Path } from '../../schemas/config-coercion.ts';
import { resolveText } from '../../schemas/config-references.ts';
import { isGroup, sourceEntries, valueAt, type Entry, type Spelling } from './file-shape.ts';
import { issueMessages, problemsOfIssues, type IssueProblem } from './issues.ts';
import { nearest } from './nearest.ts';
import { showKey } from './problem.ts';
import type { Substitution } from './substitution.ts';

export interface SecretRemark {
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
}

function unknownKind(source: Entry, spelling: Spelling, registry: ConnectorRegistry): readonly IssueProblem[] {
  const written = source.value[spelling.kind];
  if (typeof written !== 'string' || registry.find(written) !== null) return [];
  const names = registry.manifests.flatMap((manifest) => [manifest.kind, ...manifest.aliases]);
  const near = nearest(written, names);
  const kinds = `Kinds are ${registry.manifests.map((manifest) => manifest.kind).join(', ')}.`;
  return [{
    code: 'config.unknown_kind', path: [...source.path, spelling.kind], part: 'value',
    message: `There is no connector of kind ${JSON.stringify(showKey(written))}.`, hint: near === null ? kinds : `Did you mean ${near}? ${kinds}`,
  }];
}

function connectionProblems(manifest: ConnectorManifest, path: Path, tree: Substitution): readonly IssueProblem[] {
  const value = valueAt(tree.data, path);
  if (!isGroup(value)) return [];
  const parsed = parseCoercing(manifest.connectionSchema, structuredClone(value), (inner) => tree.fromVariable([...path, ...inner]), issueMessages);
  if (parsed.success) return [];
  return problemsOfIssues(parsed.error.issues, path).filter((each) => !tree.unresolved(each.path));
}

/** Problems of all connections, unknown kinds included. */
export function checkConnections(tree: Substitution, spelling: Spelling, registry: ConnectorRegistry): readonly IssueProblem[] {
  return sourceEntries(tree.data, spelling).flatMap((source) => {
    const kind = source.value[spelling.kind];
    const manifest = typeof kind === 'string' ? registry.find(kind) : null;
    if (manifest === null) return unknownKind(source, spelling, registry);
    return ['connection', 'fallback'].flatMap((key) => connectionProblems(manifest, [...source.path, key], tree));
  });
}

/** Secrets that stand in the file itself. `written` is the tree in which references are kept. */
export function literalSecrets(written: unknown, spelling: Spelling, registry: ConnectorRegistry): readonly SecretRemark[] {
  const inSources = sourceEntries(written, spelling).flatMap((source) => {
    const kind = source.value[spelling.kind];
    const fields = (typeof kind === 'string' ? registry.find(kind)?.secretFields : undefined) ?? [];
    const paths = ['connection', 'fallback'].flatMap((key) => fields.map((field) => [...source.path, key, ...field.split('.')]));
    return paths.filter((path) => isLiteral(valueAt(written, path)));
  });
  const url = ['destination', 'url'];
  const found = urlHoldsPassword(valueAt(written, url)) ? [url, ...inSources] : inSources;
  return found.map((path) => ({
    path, message: 'A secret stands in the file itself.', hint: 'Write "${NAME}" and set the variable where Tidemark runs.',
  }));
}

/** A default of a reference (`${NAME:-secret}`) is a secret in the file as well. */
function isLiteral(value: unknown): boolean {
  if (typeof value === 'number') return true;
  if (typeof value !== 'string' || value === '') return false;
  const resolved = resolveText(value, {});
  return resolved.text !== null && resolved.text !== '';
}

function urlHoldsPassword(url: unknown): boolean {
  const password = typeof url === 'string' ? /^[a-z]+:\/\/[^:@/]*:([^@]*)@/i.exec(url)?.[1] : undefined;
  return isLiteral(password);
}
