/** Limits processes to a share of a core, by the kernel's control groups: version 2 where it is mounted, else version 1. Needs the right to make groups. */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { uniqueName } from '../test/support/shared-server.ts';

const PERIOD_MICROSECONDS = 100_000;
const VERSION_2 = '/sys/fs/cgroup/cgroup.controllers';

export class CpuLimit {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Throws where this machine does not let us limit anything. */
  static make(cores: number): CpuLimit {
    const version2 = existsSync(VERSION_2);
    const folder = join(version2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/cpu', uniqueName('tidemark-bench'));
    const quota = Math.round(cores * PERIOD_MICROSECONDS);
    try {
      mkdirSync(folder);
      if (version2) writeFileSync(join(folder, 'cpu.max'), `${quota} ${PERIOD_MICROSECONDS}`);
      else writeFileSync(join(folder, 'cpu.cfs_quota_us'), String(quota));
    } catch (cause) {
      throw new Error('this machine does not allow control groups for CPU time: run the bench as root, where /sys/fs/cgroup is writable', { cause });
    }
    return new CpuLimit(folder);
  }

  /** The process with all its threads; children that it starts later are limited with it. */
  add(pid: number): void {
    writeFileSync(join(this.#folder, 'cgroup.procs'), String(pid));
  }

  /** Once its processes have ended. */
  remove(): void {
    rmdirSync(this.#folder);
  }
}
