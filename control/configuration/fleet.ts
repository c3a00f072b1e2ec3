/**
 * Files with many sources, for load tests and as the start of an inventory. Reproducible: the same request gives the same text.
 * Kinds and the fields of their connections come from the connectors' manifests.
 */
import { Document, isSeq, parseDocument, type YAMLSeq } from 'yaml';
import { z } from 'zod';
import type { ConnectorManifest } from '../../connectors/connector.ts';
import { variablesIn } from '../../schemas/config-references.ts';
import { TidemarkError } from '../../schemas/errors.ts';

export interface FleetRequest {
  readonly count: number;
  /** Writes `endpoints:` instead of `sources:`; a base decides for itself. */
  readonly endpoints: boolean;
  /** Text of a valid file whose sources come first, comments and all; null to begin with none. */
  readonly base: string | null;
}

export interface Fleet {
  readonly text: string;
  /** Variables that the file refers to. */
  readonly variables: readonly string[];
}

const TOWNS = ['Dar es Salaam', 'Dodoma', 'Arusha', 'Mwanza', 'Mbeya', 'Morogoro', 'Tanga', 'Zanzibar', 'Kigoma', 'Moshi', 'Iringa', 'Tabora', 'Songea', 'Mtwara', 'Lindi'];
const TABLES = ['CUSTOMERS', 'ACCOUNTS', 'TRANSACTIONS', 'LOANS', 'CARDS', 'PERSONAL_DATA_INDIVIDUALS', 'PERSONAL_DATA_CORPORATES', 'ASSET_OWNED_OR_ACQUIRED'];
const LEVELS = [
  { priority: 'critical', seconds: 15 },
  { priority: 'high', seconds: 30 },
  { priority: 'normal', seconds: 60 },
  { priority: 'normal', seconds: 60 },
  { priority: 'low', seconds: 300 },
] as const;

const slug = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]+/g, '_');
const pick = <T>(list: readonly T[], index: number): T => list[index % list.length] as T;

interface Field {
  readonly type?: unknown;
}

/** Required fields first; then, one by one, optional texts until the connector takes the connection. */
function connectionOf(manifest: ConnectorManifest, host: string): Readonly<Record<string, unknown>> {
  const schema = z.toJSONSchema(manifest.connectionSchema, { io: 'input', unrepresentable: 'any' }) as { properties?: Record<string, Field>; required?: string[] };
  const fields = schema.properties ?? {};
  const secret = `\${${slug(manifest.kind).toUpperCase()}_PASSWORD}`;
  const wellKnown: Readonly<Record<string, unknown>> = { host, port: manifest.defaultPort, user: 'tidemark_reader' };
  const valueOf = (name: string): unknown => wellKnown[name] ?? (manifest.secretFields.includes(name) ? secret : 'corebank');
  const usual = ['host', 'port', 'user', 'password'].filter((name) => Object.hasOwn(fields, name) && valueOf(name) !== null);
  const names = new Set([...usual, ...(schema.required ?? [])]);
  const build = (): Record<string, unknown> => Object.fromEntries([...names].map((name) => [name, valueOf(name)]));
  const optional = Object.keys(fields).filter((name) => fields[name]?.type === 'string' && !manifest.secretFields.includes(name));
  for (const name of optional) {
    if (manifest.connectionSchema.safeParse(build()).success) break;
    names.add(name);
  }
  return build();
}

function sourceOf(manifest: ConnectorManifest, number: number, endpoints: boolean): Readonly<Record<string, unknown>> {
  const town = pick(TOWNS, number);
  const padded = String(number).padStart(3, '0');
  const level = pick(LEVELS, number);
  const tables = [0, 1, 2].map((offset) => pick(TABLES, number * 3 + offset)).map((name) => (manifest.capabilities.foldsToUpper ? name : name.toLowerCase()));
  const head = { id: `branch_${padded}_${slug(town)}`, name: `Branch ${number}, ${town}` };
  const connection = connectionOf(manifest, `branch-${padded}.bank.example`);
  return endpoints
    ? { ...head, db_type: manifest.kind, connection, tables, poll_interval: level.seconds, batch_size: 2000, priority: level.priority, enabled: true }
    : { ...head, kind: manifest.kind, connection, priority: level.priority, poll_interval: `${level.seconds}s`, streams: tables };
}

function startingDocument(request: FleetRequest): { document: Document; list: YAMLSeq; endpoints: boolean } {
  const fresh = request.endpoints ? { endpoints: [] } : { destination: { url: '${DESTINATION_URL}' }, defaults: { poll_interval: '30s', batch_size: 2000 }, sources: [] };
  const document = request.base === null ? new Document(fresh) : parseDocument(request.base, { prettyErrors: false });
  const endpoints = document.has('endpoints');
  const list: unknown = document.get(endpoints ? 'endpoints' : 'sources');
  if (!isSeq(list)) throw new TidemarkError('config.invalid', 'The file to extend has no list of sources.', { hint: 'Name a file that tidemark validate accepts.' });
  return { document, list, endpoints };
}

/** Throws `config.invalid` where the base holds more sources than asked for. */
export function generateFleet(manifests: readonly ConnectorManifest[], request: FleetRequest): Fleet {
  const { document, list, endpoints } = startingDocument(request);
  const first = list.items.length;
  if (first > request.count) {
    throw new TidemarkError('config.invalid', `The file to extend already has ${first} sources.`, { hint: 'Ask for at least as many with --count.' });
  }
  list.flow = false;
  for (let index = first; index < request.count; index += 1) {
    list.add(document.createNode(sourceOf(pick(manifests, index), index + 1, endpoints)));
  }
  return { text: document.toString({ lineWidth: 0 }), variables: variablesIn(document.toJS()) };
}
