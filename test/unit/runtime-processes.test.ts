import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockDataDirectory } from '../../runtime/data-directory-lock.ts';
import { endProcess, identify, lives } from '../../runtime/process-identity.ts';
import { readUpState, writeUpState, type UpState } from '../../runtime/up-state.ts';

const folder = (): string => mkdtempSync(join(tmpdir(), 'tidemark-runtime-'));

function self() {
  const identity = identify(process.pid);
  if (identity === null) throw new Error('this process lives');
  return identity;
}

function sleeper(script = 'setInterval(() => {}, 1000)') {
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  const identity = identify(child.pid ?? 0);
  if (identity === null) throw new Error('the child lives');
  return { child, identity };
}

describe('the identity of a process', () => {
  test('another process with the same id is not it, and is not signalled', async () => {
    const { child, identity } = sleeper();
    const other = { pid: identity.pid, began: 'earlier' };
    expect(lives(identity)).toBe(true);
    expect(lives(other)).toBe(false);
    await endProcess(other, ['SIGTERM'], 100);
    expect(lives(identity)).toBe(true);
    child.kill('SIGKILL');
  });

  test('a process that ignores the signal is ended all the same', async () => {
    const { child, identity } = sleeper("process.on('SIGTERM', () => {}); console.log('on'); setInterval(() => {}, 1000)");
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    await endProcess(identity, ['SIGTERM'], 200);
    expect(lives(identity)).toBe(false);
  });
});

describe('the lock of a data directory', () => {
  test('holds until it is released', async () => {
    const dataDir = folder();
    const release = await lockDataDirectory(dataDir, null);
    await expect(lockDataDirectory(dataDir, null)).rejects.toMatchObject({ code: 'up.already_running', exit: 3 });
    release();
    (await lockDataDirectory(dataDir, null))();
    expect(readdirSync(dataDir)).toEqual([]);
  });

  test('of a dead process is taken over', async () => {
    const dataDir = folder();
    writeFileSync(join(dataDir, 'up.lock'), JSON.stringify({ holder: { ...self(), began: 'before the restart' }, launcher: null }));
    (await lockDataDirectory(dataDir, null))();
  });

  test('of a process whose launcher was killed is taken over when it has ended', async () => {
    const dataDir = folder();
    const { identity } = sleeper();
    writeFileSync(join(dataDir, 'up.lock'), JSON.stringify({ holder: identity, launcher: { pid: identity.pid, began: 'gone' } }));
    (await lockDataDirectory(dataDir, null))();
    expect(lives(identity)).toBe(false);
  });
});

describe('the state of up', () => {
  const state = (change: Partial<UpState>): UpState => ({ up: self(), ready: true, temporal: '127.0.0.1:1', ui: null, namespace: 'default', destinationUrl: null, children: {}, ...change });

  test('is read only while its process lives and is ready, and by its owner only', () => {
    const dataDir = folder();
    expect(readUpState(dataDir)).toBeNull();
    writeUpState(dataDir, state({ ready: false }));
    expect(readUpState(dataDir)).toBeNull();
    writeUpState(dataDir, state({ up: { ...self(), began: 'earlier' } }));
    expect(readUpState(dataDir)).toBeNull();
    writeUpState(dataDir, state({}));
    expect(readUpState(dataDir)).toMatchObject({ temporal: '127.0.0.1:1' });
    expect(statSync(join(dataDir, 'up.json')).mode & 0o777).toBe(0o600);
  });
});
