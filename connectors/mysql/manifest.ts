import { TidemarkError } from '../../schemas/errors.ts';
import type { ConnectorManifest } from '../connector.ts';
import { connectionSchema, type MysqlConnection } from './connection-schema.ts';

const DRIVER_INSTALL = 'npm install mysql2@3.24.5';

export const manifest: ConnectorManifest<MysqlConnection> = {
  kind: 'mysql',
  aliases: ['mariadb'],
  title: 'MySQL and MariaDB',
  defaultPort: 3306,
  connectionSchema,
  secretFields: ['password'],
  capabilities: { foldsToUpper: false, formats: ['copy-text'], ownQueue: false },
  driverInstall: DRIVER_INSTALL,
  async load() {
    try {
      return (await import('./connect.ts')).connector;
    } catch (error) {
      throw new TidemarkError('source.driver_missing', 'The driver for MySQL and MariaDB is not installed.', { hint: `Run: ${DRIVER_INSTALL}`, cause: error });
    }
  },
};
