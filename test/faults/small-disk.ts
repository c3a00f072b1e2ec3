/** A file system of a few megabytes for one database, where this user may mount one. */
import { spawnSync } from 'node:child_process';
import { chownSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PostgresDatabase } from '../support/postgres.ts';
import { serverUser } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { scratchFolder, uniqueName } from '../support/shared-server.ts';

export interface SmallDisk {
  /** Puts all tables of the database, present and future, on it. */
  attach(database: PostgresDatabase): Promise<void>;
  /** Takes all the room that is left. */
  fill(): Promise<void>;
  free(): Promise<void>;
}

const MIB = 1024 * 1024;
const SIZE_MIB = 32;

/** Null where it can't be mounted: that needs root and a kernel that lets it. */
export function smallDisk(): SmallDisk | null {
  if (process.getuid?.() !== 0) return null;
  const folder = scratchFolder('small-disk');
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MIB}m`, 'tmpfs', folder]).status !== 0) return null;
  onFileEnd(() => void spawnSync('umount', ['-l', folder]));
  const ids = serverUser(['postgres', 'nobody']);
  if (ids !== null) chownSync(folder, ids.uid, ids.gid);
  const filler = join(folder, 'filler');
  return {
    attach: async (database) => {
      const name = uniqueName('small');
      await database.query(`CREATE TABLESPACE ${name} LOCATION '${folder}'`);
      await database.query(`ALTER DATABASE "${database.name}" SET default_tablespace = ${name}`);
      onFileEnd(async () => {
        rmSync(filler, { force: true });
        await database.query('DROP SCHEMA IF EXISTS shop, tidemark, tidemark_stage CASCADE');
        await database.query(`DROP TABLESPACE IF EXISTS ${name}`);
      });
    },
    fill: async () => {
      const { bavail, bsize } = statfsSync(folder);
      writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - MIB / 16)));
    },
    free: async () => rmSync(filler, { force: true }),
  };
}
