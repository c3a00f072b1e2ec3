/** `node workers/bundle-workflows.ts FILE` bundles the workflow code into FILE. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';

const FAILURE_CONVERTER = join(import.meta.dirname, '..', 'runtime', 'failure-converter.ts');

const { code } = await bundleWorkflowCode({
  workflowsPath: join(import.meta.dirname, '..', 'workflows', 'index.ts'),
  failureConverterPath: FAILURE_CONVERTER,
});
await writeFile(process.argv[2] ?? 'workflows.js', code);
