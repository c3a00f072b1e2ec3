/**
 * `node download-temporal.js FOLDER NAME`: lets Temporal's SDK download its development server and leaves the program as FOLDER/NAME.
 * A process of its own, since the SDK has no other way to download than to start the server, and no time-out. Exit code 0 if it is there.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TestWorkflowEnvironment } from '@temporalio/testing';

const [folder, name] = process.argv.slice(2);
const downloadDir = join(folder, 'download');
mkdirSync(downloadDir);
const environment = await TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'cached-download', downloadDir } } });
await environment.teardown();
const largest = readdirSync(downloadDir, { recursive: true })
  .map((entry) => join(downloadDir, String(entry)))
  .filter((file) => statSync(file).isFile())
  .sort((a, b) => statSync(b).size - statSync(a).size)[0];
if (largest) renameSync(largest, join(folder, name));
process.exit(existsSync(join(folder, name)) ? 0 : 1);
