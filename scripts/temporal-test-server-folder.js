import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './bootstrap/cache.js';

export const TEST_SERVER_VERSION = '1.32.0';

/** Where `scripts/install-temporal-test-server.js` puts the jars. */
export const testServerFolder = () => join(cacheFolder(), `temporal-test-server-${TEST_SERVER_VERSION}`);

/** @param {string} folder */
export const hasTestServer = (folder) => existsSync(join(folder, `temporal-test-server-${TEST_SERVER_VERSION}.jar`));
