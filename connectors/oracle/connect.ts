import type { Connector } from '../connector.ts';
import { OracleClient } from './client.ts';
import type { OracleSettings } from './connection.ts';
import type { OracleDriver } from './driver.ts';
import { OracleSession } from './session.ts';

/** The connector over a driver; the manifest gives it the real one. */
export function connectorWith(driver: OracleDriver): Connector<OracleSettings> {
  return { connect: async (settings, options) => new OracleSession(await OracleClient.open(driver, settings, options), settings.snapshot) };
}
