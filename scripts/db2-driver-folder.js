import { join } from 'node:path';
import { cacheFolder } from './bootstrap/cache.js';

export const DRIVER_VERSION = '4.0.1';

/** Where `scripts/install-db2.js` puts the native driver and what it needs: a folder with `node_modules/ibm_db`. */
export const driverFolder = () => join(cacheFolder(), 'db2-driver', `ibm_db-${DRIVER_VERSION}-${process.platform}-${process.arch}`);
