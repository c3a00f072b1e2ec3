/**
 * Switches protections off in a worker under test: loaded with `--import`, it gives Node a changed copy of
 * a connector's module. The product itself has no switch that would weaken its promise. TIDEMARK_TEST_SWITCH_OFF: comma-separated names.
 *
 * A change that no longer fits its module ends the worker, so that none is silently without effect.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** connectors/<kind>/<file>: protection, what is looked for, what takes its place. */
const CHANGES = {
  'postgres/run-start.ts': [['late-scan', /const scan =[^;]*;/, 'const scan = false;']],
  'postgres/range.ts': [['inclusive-bound', />= \$\{literal\(order, spec\.low\)\}/, '> ${literal(order, spec.low)}']],
  'postgres/snapshot.ts': [
    ['future-fence', /const fence = fenceOf\([^;]*;/, "const fence = 'NULL';"],
    ['null-cursors', /\[`\$\{order\.sql\} IS NULL`,/, "['false',"],
  ],
  'mysql/bounds.ts': [
    ['late-scan', /const reached = [^;]*;/, 'const reached = [];'],
    ['future-fence', /return fence === null \? placed :/, 'return true ? placed :'],
  ],
  'mysql/range.ts': [
    ['inclusive-bound', /`\$\{name\} >= \$\{literal\(cursor, value\)\}`/, '`${name} > ${literal(cursor, value)}`'],
    ['null-cursors', /return conditions\.length === 0 \? null :/, 'return true ? null :'],
  ],
};

const wanted = new Set((process.env.TIDEMARK_TEST_SWITCH_OFF ?? '').split(',').filter(Boolean));

function changed(file, source) {
  return CHANGES[file].filter(([protection]) => wanted.has(protection)).reduce((text, [protection, found, replacement]) => {
    if (!found.test(text)) throw new Error(`${protection} can't be switched off: connectors/${file} has changed, and test/hazards/switch-off.js has to follow`);
    return text.replace(found, () => replacement);
  }, source);
}

/**
 * A changed copy in the folder of the test run, with its relative imports made absolute. Modules are exchanged as they are resolved:
 * with a hook on loading, Node 24 can't `require()` an ES module any more, which Temporal's SDK does.
 */
function changedCopy(file, original) {
  const absolute = (specifier) => new URL(specifier, original).href;
  const source = changed(file, readFileSync(fileURLToPath(original), 'utf8')).replace(/(from|import\() ?'(\.[^']*)'/g, (_, word, specifier) => `${word} '${absolute(specifier)}'`);
  const copy = join(folder, file.replace('/', '-'));
  writeFileSync(copy, source);
  return pathToFileURL(copy).href;
}

const folder = mkdtempSync(join(process.env.TIDEMARK_TEST_RUN, 'switched-off-'));
const copies = new Map();

registerHooks({
  resolve(specifier, context, nextResolve) {
    const resolved = nextResolve(specifier, context);
    const file = Object.keys(CHANGES).find((name) => resolved.url.endsWith(`/connectors/${name}`));
    if (file === undefined) return resolved;
    if (!copies.has(file)) copies.set(file, changedCopy(file, resolved.url));
    return { ...resolved, url: copies.get(file) };
  },
});
