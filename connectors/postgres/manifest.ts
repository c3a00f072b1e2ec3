import { TidemarkError } from '../../schemas/errors.ts';
import type { ConnectorManifest } from '../connector.ts';
import { connectionSchema, type PostgresConnection } from './connection.ts';

export const manifest: ConnectorManifest<PostgresConnection> = {
  kind: 'postgres',
  aliases: ['postgresql', 'pg'],
  title: 'PostgreSQL',
  defaultPort: 5432,
  connectionSchema,
  secretFields: ['password'],
  capabilities: { foldsToUpper: false, formats: ['copy-text', 'copy-binary'], textCursors: true, ownQueue: false },
  driverInstall: 'npm install pg',
  async load() {
    try {
      const { PostgresSession } = await import('./session.ts');
      return { connect: (connection, options) => PostgresSession.open(connection, options) };
    } catch (cause) {
      throw new TidemarkError('source.driver_missing', 'The PostgreSQL driver is not installed.', { hint: manifest.driverInstall, cause });
    }
  },
};
