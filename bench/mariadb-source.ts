import { MariadbDatabase, startMariadb } from '../test/support/mariadb.ts';
import { onFileEnd } from '../test/support/release.ts';
import { scratchFolder } from '../test/support/shared-server.ts';

export type { MariadbDatabase } from '../test/support/mariadb.ts';

/** A MariaDB of the bench's own with one empty database. */
export async function mariadbOf(): Promise<MariadbDatabase> {
  const server = await startMariadb(scratchFolder('mariadb'), ['--innodb-buffer-pool-size=1G']);
  const admin = new MariadbDatabase(server, 'mysql');
  await admin.query('CREATE DATABASE bench CHARACTER SET utf8mb4');
  await admin.close();
  const database = new MariadbDatabase(server, 'bench');
  onFileEnd(() => database.close());
  return database;
}
