import type { Connector } from '../connector.ts';
import { openConnection } from './connection.ts';
import type { MysqlConnection } from './connection-schema.ts';
import { createSession } from './session.ts';

export const connector: Connector<MysqlConnection> = {
  connect: async (connection, options) => createSession(await openConnection(connection, options), connection.database, options),
};
