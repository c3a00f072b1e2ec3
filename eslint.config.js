import tseslint from 'typescript-eslint';

const ENVIRONMENT = 'Read the environment through runtime/environment.ts.';
const DETERMINISM = 'Workflow code is replayed: it must take the same decisions again.';
const NODE_MODULES = ['node:*', 'fs', 'fs/*', 'path', 'os', 'crypto', 'http', 'https', 'net', 'child_process', 'stream', 'stream/*', 'timers', 'timers/*', 'worker_threads'];

const noEnvironment = { object: 'process', property: 'env', message: ENVIRONMENT };

export default tseslint.config(
  { ignores: ['node_modules/', '**/.tidemark/', 'coverage/', '**/*.d.ts'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // A contract that returns a promise may have an implementation that has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
    },
  },
  {
    files: ['**/*.{ts,js,cjs}'],
    rules: {
      'max-lines': ['warn', { max: 250 }],
      'no-console': 'error',
      'no-restricted-properties': ['error', noEnvironment],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  { files: ['runtime/environment.ts', 'scripts/**', 'test/**', '*.js', '*.cjs'], rules: { 'no-restricted-properties': 'off' } },
  { files: ['cli/**', 'scripts/**', 'bench/**', 'examples/**', 'test/**'], rules: { 'no-console': 'off' } },
  {
    files: ['test/**/*.ts'],
    rules: {
      // jest's matchers and JSON from a process are untyped by nature; what a test asserts is checked by its assertion.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['workflows/**/*.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        noEnvironment,
        { object: 'Math', property: 'random', message: `${DETERMINISM} Use uuid4() of @temporalio/workflow.` },
      ],
      'no-restricted-globals': ['error', ...['process', 'fetch', 'crypto', 'performance', 'setImmediate', 'WeakRef', 'FinalizationRegistry'].map((name) => ({ name, message: DETERMINISM }))],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            { group: ['**/activities/**', '**/activities'], allowTypeImports: true, message: 'Activities only by `import type`.' },
            { group: NODE_MODULES, message: DETERMINISM },
            { group: ['@temporalio/activity', '@temporalio/client', '@temporalio/worker'], message: 'Not in the workflow sandbox.' },
          ],
        },
      ],
    },
  },
);
