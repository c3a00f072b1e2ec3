import type { SourceSettings } from '../schemas/settings.ts';
import type { ConnectorManifest, SourceSession } from './connector.ts';
import { reach, type ReachOptions } from './reach.ts';
import { findManifest, resolveConnection } from './registry.ts';

const CONNECT_TIMEOUT_MS = 10_000;

export type Variables = Readonly<Record<string, string | undefined>>;

export interface ConnectOptions {
  readonly variables: Variables;
  readonly signal: AbortSignal;
  /** Told each secret before it is used, so that logs can mask it. */
  readonly onSecret: (secret: string) => void;
  /** Default: ten seconds. */
  readonly connectTimeoutMs?: number;
  /** Given up so soon where no connection to the port is made at all: most of a silent fleet costs no more than this. */
  readonly reach?: ReachOptions;
  /** Waited for between the answer of the host and the opening of the session. */
  readonly whenReached?: () => Promise<void>;
}

/** Opens a session on a source with its settings as applied; `${…}` references take the variables' values at this moment. The caller closes it. */
export async function connectSource(settings: SourceSettings, options: ConnectOptions): Promise<SourceSession> {
  const manifest: ConnectorManifest = await findManifest(settings.kind);
  const connection = resolveConnection(manifest, settings.connection, options.variables);
  for (const secret of secretsOf(manifest, connection)) options.onSecret(secret);
  const address = addressOf(connection);
  // The network is asked while the driver is loaded.
  const reached = options.reach === undefined || address === null ? null : reach(address, options.reach).then(() => null, (error: Error) => error);
  const connector = await manifest.load();
  const unreachable = await reached;
  if (unreachable !== null) throw unreachable;
  await options.whenReached?.();
  return connector.connect(connection, {
    applicationName: `tidemark ${settings.id}`,
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    statementTimeoutMs: settings.statementTimeoutSeconds * 1_000,
    signal: options.signal,
  });
}

/** Null where a connection has several addresses, or none of the network. */
function addressOf(connection: unknown): { host: string; port: number } | null {
  if (typeof connection !== 'object' || connection === null) return null;
  const host: unknown = Reflect.get(connection, 'host');
  const port: unknown = Reflect.get(connection, 'port');
  return typeof host === 'string' && !host.startsWith('/') && typeof port === 'number' ? { host, port } : null;
}

function secretsOf(manifest: ConnectorManifest, connection: unknown): string[] {
  if (typeof connection !== 'object' || connection === null) return [];
  return manifest.secretFields.map((field): unknown => Reflect.get(connection, field)).filter((value) => typeof value === 'string');
}
