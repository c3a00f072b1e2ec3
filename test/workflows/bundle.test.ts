/** What every workflow keeps a copy of while it is cached. */
import { readFileSync } from 'node:fs';
import { workflowBundle } from '../../workers/workflow-bundle.ts';

test('of packages, workflows import none but those that Temporal shares between them', async () => {
  const code = readFileSync(await workflowBundle(), 'utf8');
  const packages = new Set([...code.matchAll(/^\s*!\*\*\* \S*node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)].map(([, name]) => name));
  expect(packages).toContain('@temporalio/workflow');
  expect(packages).not.toContain('zod');
});
