import { TidemarkError } from '../../schemas/errors.ts';
import type { ConnectorManifest } from '../connector.ts';
import { connectionSchema, type OracleSettings } from './connection.ts';
import type { OracleDriver } from './driver.ts';

async function loadDriver(): Promise<OracleDriver> {
  try {
    return (await import('oracledb')).default;
  } catch (cause) {
    throw new TidemarkError('source.driver_missing', 'The Oracle driver is not installed.', { hint: manifest.driverInstall, cause });
  }
}

export const manifest: ConnectorManifest<OracleSettings> = {
  kind: 'oracle',
  aliases: ['oracledb'],
  title: 'Oracle Database',
  defaultPort: 1521,
  connectionSchema,
  secretFields: ['password', 'wallet', 'wallet_password'],
  capabilities: { foldsToUpper: true, formats: ['copy-text'], ownQueue: false },
  driverInstall: 'npm install oracledb@26.0.0',
  async load() {
    const driver = await loadDriver();
    const { connectorWith } = await import('./connect.ts');
    return connectorWith(driver);
  },
};
