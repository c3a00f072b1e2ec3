import type { Connector } from '../connector.ts';
import { openConnection } from './connection.ts';
import type { MysqlConnection } from './manifest.ts';
import { createSession } from './session.ts';

export const connector: Connector<MysqlConnection> = {
  connect: async (connection, options) => createSession(await openConnection(connection, options), connection.database, options),
};
