/**
 * The arrows between folders, as the design draws them. A rule names the folder that imports and all it must not import.
 *
 *   schemas ← connectors ← pipeline ← activities ← workers       cli → control → schemas, runtime, workflows' messages
 *   schemas ← destinations ← pipeline                            workflows → schemas; activities by `import type` only
 */
const OURS = 'schemas|connectors|destinations|pipeline|control|activities|workflows|workers|runtime|cli|api|console|scripts|examples|bench|test';
const DRIVERS = 'pg|pg-copy-streams|mysql2|ibm_db|oracledb|mongodb|kafkajs|@platformatic/kafka';

/** Everything of ours that is not in `allowed`, a list of path patterns. */
const only = (folder, allowed, options = {}) => ({
  name: `${folder}-imports`,
  comment: `${folder}/ may import: ${allowed.join(', ') || 'nothing of ours'}`,
  severity: 'error',
  from: { path: `^${folder}/`, ...options.from },
  to: { path: `^(${OURS})/`, pathNot: [`^${folder}/`, ...allowed], ...options.to },
});

const packages = (name, folder, forbidden) => ({
  name,
  severity: 'error',
  from: { path: folder },
  to: { path: `(^|node_modules/)(${forbidden})(/|$)` },
});

const CONTRACT = '^connectors/[^/]+\\.ts$';
const notTypes = { dependencyTypesNot: ['type-only'] };

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-unresolvable',
      comment: 'A native driver may be missing on a machine; everything else resolves.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: `^(${DRIVERS})$` },
    },
    {
      name: 'no-dev-dependencies',
      severity: 'error',
      from: { pathNot: '^(test|bench|scripts)/|^[^/]+$' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },

    only('schemas', []),
    only('runtime', ['^schemas/']),
    only('connectors', ['^schemas/']),
    {
      name: 'connectors-are-islands',
      comment: 'A connector imports the contract and its own folder, never another connector.',
      severity: 'error',
      from: { path: '^connectors/([^/]+)/' },
      to: { path: '^connectors/[^/]+/', pathNot: '^connectors/$1/' },
    },
    {
      name: 'connectors-by-capability',
      comment: 'Nothing outside a connector names it; the registry finds them by their folders.',
      severity: 'error',
      from: { pathNot: '^(connectors/[^/]+/|test/|bench/)' },
      to: { path: '^connectors/[^/]+/' },
    },
    only('destinations', ['^schemas/']),
    only('pipeline', ['^schemas/', CONTRACT, '^destinations/']),
    only('activities', ['^schemas/', '^pipeline/', CONTRACT, '^destinations/', '^runtime/', '^control/(catalog|credentials|configuration)']),
    only('workflows', ['^schemas/'], { to: notTypes }),
    only('workflows', ['^schemas/', '^activities/'], { to: { dependencyTypes: ['type-only'] } }),
    only('workers', ['^schemas/', '^pipeline/', CONTRACT, '^destinations/', '^runtime/', '^control/', '^activities/', '^workflows/']),
    only('control', ['^schemas/', CONTRACT, '^destinations/', '^pipeline/', '^runtime/', '^workflows/messages']),
    only('cli', ['^schemas/', '^control/', '^runtime/', '^workers/', CONTRACT]),

    packages('no-temporal-in-connectors', '^(schemas|connectors|destinations|pipeline)/', '@temporalio'),
    packages('drivers-stay-home', '^(schemas|pipeline|activities|workflows|workers|control|cli|connectors/[^/]+\\.ts$)', DRIVERS),
    {
      name: 'workflow-sandbox',
      comment: 'Workflow code is bundled into a sandbox without Node.',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { dependencyTypes: ['core'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    includeOnly: { path: `^(${OURS})/|node_modules|^[a-z@][^/]*$` },
    exclude: { path: '\\.tidemark/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    combinedDependencies: false,
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.cjs', '.json'], exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'] },
    cache: false,
  },
};
