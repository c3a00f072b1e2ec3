/**
 * The connectors that are here: the folders beside this file that have a `manifest.ts`. Adding a connector is adding a folder.
 * Only manifests are loaded; a driver is loaded by {@link ConnectorManifest.load}.
 */
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseResolved } from '../schemas/config-coercion.ts';
import { resolveReferences, type Variables } from '../schemas/config-references.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { ConnectorManifest } from './connector.ts';

export interface ConnectorRegistry {
  /** Sorted by kind. */
  readonly manifests: readonly ConnectorManifest[];
  /** By kind or alias, upper and lower case alike; null where there is none. */
  find(kindOrAlias: string): ConnectorManifest | null;
}

async function hasManifest(folder: string): Promise<boolean> {
  return access(join(import.meta.dirname, folder, 'manifest.ts')).then(() => true, () => false);
}

async function connectorFolders(): Promise<readonly string[]> {
  const entries = await readdir(import.meta.dirname, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort();
  const present = await Promise.all(folders.map(hasManifest));
  return folders.filter((_, index) => present[index]);
}

async function loadManifest(folder: string): Promise<ConnectorManifest> {
  const loaded = (await import(`./${folder}/manifest.ts`)) as { manifest: ConnectorManifest };
  return loaded.manifest;
}

function registryOf(manifests: readonly ConnectorManifest[]): ConnectorRegistry {
  const byName = new Map<string, ConnectorManifest>();
  for (const manifest of manifests) {
    for (const name of [manifest.kind, ...manifest.aliases]) {
      const other = byName.get(name);
      if (other !== undefined) throw new Error(`The connectors ${other.kind} and ${manifest.kind} both claim the name ${name}.`);
      byName.set(name, manifest);
    }
  }
  return { manifests, find: (name) => byName.get(name.toLowerCase()) ?? null };
}

let loading: Promise<ConnectorRegistry> | undefined;

/** Loads all manifests, once in a process. */
export function loadRegistry(): Promise<ConnectorRegistry> {
  loading ??= connectorFolders().then((folders) => Promise.all(folders.map(loadManifest))).then(registryOf);
  return loading;
}

/** The manifest of a kind as settings have it. Throws `config.unknown_kind`. */
export async function findManifest(kind: string): Promise<ConnectorManifest> {
  const registry = await loadRegistry();
  const manifest = registry.find(kind);
  if (manifest !== null) return manifest;
  throw new TidemarkError('config.unknown_kind', `There is no connector of kind ${JSON.stringify(kind)}.`, {
    hint: `Kinds are ${registry.manifests.map((each) => each.kind).join(', ')}.`,
  });
}

/**
 * A stored `connection` or `fallback`, its references resolved at the moment of use, as the connector takes it.
 * Throws `config.variable_missing`, or `config.invalid` that names the field; never shows a value.
 */
export function resolveConnection<Connection>(manifest: ConnectorManifest<Connection>, stored: unknown, variables: Variables): Connection {
  const parsed = parseResolved(manifest.connectionSchema, resolveReferences(stored, variables));
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join('.') ?? '';
  throw new TidemarkError('config.invalid', `The connection${field === '' ? '' : `'s field ${field}`} is not valid for a source of kind ${manifest.kind}.`, {
    hint: 'Check the variables that it refers to with tidemark validate.',
    path: field === '' ? 'connection' : `connection.${field}`,
  });
}
