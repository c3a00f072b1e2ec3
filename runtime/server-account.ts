/**
 * PostgreSQL refuses to run as root. Where Tidemark is root, its servers run as another account of the machine; this module finds that
 * account and builds the command that starts a program as it.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { spawnSync, type SpawnOptions } from 'node:child_process';
import { TidemarkError } from '../schemas/errors.ts';
import { processEnv } from './environment.ts';

export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
  /**
   * Linux capability that lets the account pass through folders closed to it, such as a data directory or a checkout below a 0700
   * folder of root; null where every folder on the way is open. The files themselves belong to the account or may be read by all.
   */
  readonly capability: string | null;
}

export interface ServerCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly options: SpawnOptions;
}

const CAPABILITIES = [null, 'dac_read_search', 'dac_override'] as const;
const CANDIDATES = ['postgres', 'nobody'] as const;

/** Full path of a program on PATH, or null. */
export function programOnPath(name: string): string | null {
  for (const folder of (processEnv().PATH ?? '').split(delimiter)) {
    const candidate = join(folder, name);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

function findAccount(): { uid: number; gid: number } {
  const accounts = readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':'));
  for (const name of CANDIDATES) {
    const fields = accounts.find((account) => account[0] === name);
    if (fields) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new TidemarkError('up.server_failed', 'PostgreSQL does not run as root, and this machine has no user postgres or nobody.', {
    hint: 'Run as another user than root, or set DESTINATION_URL to a PostgreSQL of yours.',
  });
}

let setprivPath: string | null | undefined;

/** util-linux's; smaller ones (busybox) lack the options used here. */
function usableSetpriv(): string | null {
  if (setprivPath === undefined) {
    const found = process.platform === 'linux' ? programOnPath('setpriv') : null;
    const works = found !== null && spawnSync(found, ['--pdeathsig=TERM', '--', '/bin/sh', '-c', ':'], { stdio: 'ignore' }).status === 0;
    setprivPath = works ? found : null;
  }
  return setprivPath;
}

/**
 * The command that runs `file` as the account (null: as the current user). With `endWithParent` the kernel sends that signal when this
 * process dies in whatever way, where the machine has `setpriv`; elsewhere the next start ends what was left.
 */
export function serverCommand(account: ServerAccount | null, file: string, args: readonly string[], endWithParent?: 'INT' | 'TERM'): ServerCommand {
  const setpriv = usableSetpriv();
  const options: SpawnOptions = { cwd: '/', detached: true };
  if (setpriv === null) {
    return { file, args, options: account === null ? options : { ...options, uid: account.uid, gid: account.gid } };
  }
  const identity = account === null ? [] : [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups'];
  const capability = account?.capability ? [`--inh-caps=+${account.capability}`, `--ambient-caps=+${account.capability}`] : [];
  const death = endWithParent === undefined ? [] : [`--pdeathsig=${endWithParent}`];
  const before = [...identity, ...capability, ...death];
  return before.length === 0 ? { file, args, options } : { file: setpriv, args: [...before, '--', file, ...args], options };
}

function reaches(account: ServerAccount, folder: string, program: string): boolean {
  const probe = 'test -w "$1" && test -x "$1" && test -x "$2" && "$2" --version >/dev/null';
  const { file, args, options } = serverCommand(account, '/bin/sh', ['-c', probe, 'sh', folder, program]);
  const { uid, gid } = options;
  return spawnSync(file, [...args], { cwd: '/', stdio: 'ignore', ...(uid === undefined ? {} : { uid, gid }) }).status === 0;
}

/**
 * The account for a server whose files lie in `folder` (made by the caller, owned by the account after `own`) and whose program is
 * `program`. Null where this process is not root. Throws `up.data_dir_unusable` if the account has no way there.
 */
export function chooseAccount(folder: string, program: string, own: (uid: number, gid: number) => void): ServerAccount | null {
  if (process.getuid?.() !== 0) return null;
  const { uid, gid } = findAccount();
  own(uid, gid);
  for (const capability of CAPABILITIES) {
    const account = { uid, gid, capability };
    if (reaches(account, folder, program)) return account;
  }
  throw new TidemarkError('up.data_dir_unusable', 'PostgreSQL does not run as root, and the data directory or the checkout is closed to other users.', {
    hint: 'Give --data-dir (and the checkout) a place that other users may pass through (chmod o+x on the folders above), or set DESTINATION_URL.',
  });
}
