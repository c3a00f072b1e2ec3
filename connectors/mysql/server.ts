/** What the server says of itself: identity, clock, whether transactions of others can be seen. */
import { createHash } from 'node:crypto';
import type { ServerFacts } from '../../schemas/table.ts';
import type { OpenConnection } from './connection.ts';

async function variables(connection: OpenConnection, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const list = names.map((name) => `'${name}'`).join(',');
  const rows = await connection.query(`SHOW GLOBAL VARIABLES WHERE Variable_name IN (${list})`, 'server variables');
  return new Map(rows.map(([name, value]) => [name ?? '', value ?? '']));
}

/**
 * MySQL: `server_uuid`, written once into the data directory. MariaDB has no identity of its data: `server_uid` (a digest of the
 * machine and the port) where there is one, else what names an instance. It is stable across restarts.
 */
export async function readIdentity(connection: OpenConnection): Promise<string> {
  const known = await variables(connection, ['server_uuid', 'server_uid', 'hostname', 'port', 'server_id', 'datadir']);
  const own = known.get('server_uuid') ?? known.get('server_uid');
  if (own !== undefined && own !== '') return `${connection.product.toLowerCase()}:${own}`;
  const parts = ['hostname', 'port', 'server_id', 'datadir'].map((name) => known.get(name) ?? '');
  return `mariadb:${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)}`;
}

/** How far the transactions of others can be seen. */
export interface Sight {
  /** The PROCESS privilege. */
  readonly transactions: boolean;
  /** Rows also arrive from another server, in the order of their commits there: its open transactions can't be seen here. */
  readonly replica: boolean;
}

/** Users that stand for the server's own threads in the process list. */
const SYSTEM_USER = "user = 'system user'";

export async function readSight(connection: OpenConnection): Promise<Sight> {
  const [privilege] = await connection.query(
    "SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type = 'PROCESS'",
    'privileges',
  );
  const transactions = privilege?.[0] !== '0' || await seesTransactions(connection);
  const [appliers] = await connection.query(
    `SELECT COUNT(*) FROM information_schema.processlist WHERE ${SYSTEM_USER} AND command IN ('Connect','Slave_IO','Slave_SQL','Slave_worker','Query')`,
    'the process list',
  );
  const cluster = await variables(connection, ['wsrep_on', 'group_replication_group_name']);
  const clustered = cluster.get('wsrep_on') === 'ON' || (cluster.get('group_replication_group_name') ?? '') !== '';
  return { transactions, replica: connection.replica || appliers?.[0] !== '0' || clustered };
}

/** A role may carry the privilege without standing in user_privileges: trying tells. */
async function seesTransactions(connection: OpenConnection): Promise<boolean> {
  return connection.query('SELECT COUNT(*) FROM information_schema.innodb_trx', 'open transactions').then(() => true, () => false);
}

function warningsOf(sight: Sight): readonly string[] {
  const warnings: string[] = [];
  if (!sight.transactions) {
    warnings.push('no PROCESS privilege: open transactions can\'t be seen, so rows that commit later than overlap may be missed; GRANT PROCESS ON *.* TO the user');
  }
  if (sight.replica) {
    warnings.push('rows also arrive by replication: transactions that are open at the other server can\'t be seen, so the promise holds within overlap');
  }
  return warnings;
}

export async function readServer(connection: OpenConnection, database: string): Promise<ServerFacts> {
  const sight = await readSight(connection);
  const [facts] = await connection.query(
    "SELECT CURRENT_USER(), IF(@@global.time_zone = 'SYSTEM', @@system_time_zone, @@global.time_zone)",
    'server variables',
  );
  return {
    product: connection.product,
    version: connection.version,
    database,
    user: facts?.[0] ?? '',
    timezone: facts?.[1] ?? '',
    identity: await readIdentity(connection),
    warnings: warningsOf(sight),
  };
}
