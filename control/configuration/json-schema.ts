/** The JSON Schema of the file, for editors: generated from the zod schemas and the connectors' manifests. */
import { z } from 'zod';
import { loadRegistry } from '../../connectors/registry.ts';
import type { ConnectorManifest } from '../../connectors/connector.ts';
import { configSchema, endpointsConfigSchema } from '../../schemas/config.ts';
import { shareDefinitions } from './json-schema-definitions.ts';

type JsonSchema = Record<string, unknown>;

const REFERENCE: JsonSchema = { type: 'string', pattern: '\\$\\{' };

/** Any number, word or truth value may come from a variable. */
function allowReferences({ jsonSchema }: { jsonSchema: JsonSchema }): void {
  const { type, description, default: preset, ...rest } = jsonSchema;
  const words = rest.enum !== undefined || rest.const !== undefined || rest.pattern !== undefined;
  if (type !== 'number' && type !== 'integer' && type !== 'boolean' && !words) return;
  for (const key of Object.keys(jsonSchema)) delete jsonSchema[key];
  const value = { ...(type === undefined ? {} : { type }), ...rest };
  Object.assign(jsonSchema, {
    ...(description === undefined ? {} : { description }),
    ...(preset === undefined ? {} : { default: preset }),
    anyOf: [value, { ...REFERENCE }],
  });
}

function inputSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', override: allowReferences, reused: 'inline' }) as JsonSchema;
  return rest;
}

/** `if` the kind is this connector's, `then` its connection has these fields. */
function connectionRule(manifest: ConnectorManifest, kindKey: string): JsonSchema {
  const connection = inputSchema(manifest.connectionSchema);
  return {
    if: { properties: { [kindKey]: { enum: [manifest.kind, ...manifest.aliases] } }, required: [kindKey] },
    then: { properties: { connection, fallback: { anyOf: [connection, { type: 'null' }] } } },
  };
}

function spellingSchema(schema: z.ZodType, list: string, kindKey: string, manifests: readonly ConnectorManifest[]): JsonSchema {
  const file = inputSchema(schema);
  const items = ((file.properties as Record<string, JsonSchema>)[list] ?? {}).items as JsonSchema;
  const kinds = manifests.flatMap((manifest) => [manifest.kind, ...manifest.aliases]);
  Object.assign(items, { allOf: manifests.map((manifest) => connectionRule(manifest, kindKey)) });
  Object.assign(items.properties as JsonSchema, { [kindKey]: { description: 'The connector.', enum: kinds } });
  return file;
}

/** Draft 2020-12, one alternative for each spelling. */
export async function configJsonSchema(): Promise<JsonSchema> {
  const { manifests } = await loadRegistry();
  return shareDefinitions({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'tidemark.yaml',
    if: { required: ['endpoints'] },
    then: spellingSchema(endpointsConfigSchema, 'endpoints', 'db_type', manifests),
    else: spellingSchema(configSchema, 'sources', 'kind', manifests),
  });
}
