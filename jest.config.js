/**
 * One jest run, one project for each kind of test. `npm test -- hazards` runs one of them, `npm test -- path/part` what matches.
 *
 * Tests run as CommonJS through swc: jest's own module registry needs no flag of Node for that. Code under test keeps to
 * `import.meta.dirname` and to no top-level await, which have a CommonJS meaning.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const SECOND = 1000;

/** Project → longest time of one test or hook. Real servers start within hooks, so these bound a hang, not a speed. */
const PROJECTS = {
  unit: 60 * SECOND,
  connectors: 240 * SECOND,
  conformance: 360 * SECOND,
  workflows: 120 * SECOND,
  replay: 240 * SECOND,
  'bad-input': 240 * SECOND,
  e2e: 300 * SECOND,
  faults: 600 * SECOND,
  hazards: 600 * SECOND,
  'bench-smoke': 300 * SECOND,
  proof: 900 * SECOND,
};

const project = ([name, testTimeoutMs]) => ({
  displayName: name,
  rootDir: import.meta.dirname,
  roots: ['<rootDir>/test'],
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  // jest ignores `testTimeout` of a project; test/support/each-test-file.ts sets this one.
  globals: { testTimeoutMs },
  testEnvironment: 'node',
  injectGlobals: true,
  moduleFileExtensions: ['ts', 'js', 'cjs', 'json', 'node'],
  transform: {
    '^.+\\.(ts|js)$': [
      '@swc/jest',
      { jsc: { target: 'es2024', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' }, sourceMaps: 'inline' },
    ],
  },
  setupFilesAfterEnv: ['<rootDir>/test/support/each-test-file.ts'],
});

// A folder without a project would never run, and nobody would see it.
const folders = readdirSync(join(import.meta.dirname, 'test')).filter((name) => name !== 'support');
const unknown = folders.filter((name) => !Object.hasOwn(PROJECTS, name));
if (unknown.length > 0) throw new Error(`jest.config.js has no project for test/${unknown.join(', test/')}`);

export default {
  projects: Object.entries(PROJECTS).map(project),
  globalSetup: '<rootDir>/test/support/run-start.js',
  globalTeardown: '<rootDir>/test/support/run-end.js',
  maxWorkers: 2,
  reporters: [['default', { summaryThreshold: 1 }]],
};
