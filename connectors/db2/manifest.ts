import type { ConnectorManifest } from '../connector.ts';
import { connectionSchema, type Db2Connection } from './connection.ts';
import { DRIVER_INSTALL, driverMissing, findDriver } from './driver.ts';

export const manifest: ConnectorManifest<Db2Connection> = {
  kind: 'db2',
  aliases: ['ibmdb2', 'ibm_db2'],
  title: 'IBM Db2',
  defaultPort: 50_000,
  connectionSchema,
  secretFields: ['password'],
  capabilities: { foldsToUpper: true, formats: ['copy-text'], ownQueue: true },
  driverInstall: DRIVER_INSTALL,
  async load() {
    const driver = findDriver();
    if (driver === null) throw driverMissing();
    const { Db2Session } = await import('./session.ts');
    return { connect: (connection, options) => Db2Session.open(driver, connection, options) };
  },
};
