import { join } from 'node:path';
import { cacheFolder } from './bootstrap/cache.js';

export const DERBY_VERSION = '10.7.1.1';

export const DERBY_JARS = ['derby', 'derbynet', 'derbyclient', 'derbytools'].map((name) => `${name}-${DERBY_VERSION}.jar`);

/** Where `scripts/install-derby.js` puts the jars. */
export const derbyFolder = () => join(cacheFolder(), `derby-${DERBY_VERSION}`);
