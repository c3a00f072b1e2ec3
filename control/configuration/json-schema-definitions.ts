/** Makes a JSON Schema short: what describes the same key the same way in several places is written once, in `$defs`. */

type JsonSchema = Record<string, unknown>;

/** Shorter ones are easier to read where they stand. */
const LENGTH_MIN = 120;

const isObject = (value: unknown): value is JsonSchema => typeof value === 'object' && value !== null && !Array.isArray(value);

function eachProperty(value: unknown, visit: (name: string, schema: unknown) => void): void {
  if (Array.isArray(value)) for (const inner of value) eachProperty(inner, visit);
  if (!isObject(value)) return;
  if (isObject(value.properties)) for (const [name, schema] of Object.entries(value.properties)) visit(name, schema);
  for (const inner of Object.values(value)) eachProperty(inner, visit);
}

/** A copy of `root` with `$defs`, each named for the key that it describes. */
export function shareDefinitions(root: JsonSchema): JsonSchema {
  const uses = new Map<string, { name: string; count: number }>();
  eachProperty(root, (name, schema) => {
    const text = JSON.stringify(schema);
    const seen = uses.get(text) ?? { name, count: 0 };
    uses.set(text, { ...seen, count: seen.count + 1 });
  });
  const names = new Map<string, string>();
  const definitions: JsonSchema = {};
  const reference = (schema: unknown): unknown => {
    const text = JSON.stringify(schema);
    const use = uses.get(text);
    if (use === undefined || use.count < 2 || text.length < LENGTH_MIN) return shorten(schema);
    let name = names.get(text);
    if (name === undefined) {
      const taken = [...names.values()].filter((each) => each.replace(/_\d+$/, '') === use.name).length;
      name = taken === 0 ? use.name : `${use.name}_${taken + 1}`;
      names.set(text, name);
      definitions[name] = shorten(schema);
    }
    return { $ref: `#/$defs/${name}` };
  };
  const shorten = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(shorten);
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => {
      const properties = key === 'properties' && isObject(inner);
      return [key, properties ? Object.fromEntries(Object.entries(inner).map(([name, schema]) => [name, reference(schema)])) : shorten(inner)];
    }));
  };
  const short = shorten(root) as JsonSchema;
  return { ...short, $defs: definitions };
}
