/** `npm run docs:types`: writes docs/types.md from the connectors' type tables. Runs on the Node 24 that the project runs on. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { typePage } from '../connectors/type-page.ts';

await writeFile(join(import.meta.dirname, '..', 'docs', 'types.md'), await typePage());
