import { mkdirSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { describeWith, repositoryRoot } from '../support/describe-with.ts';
import { freePort, startProcess, waitFor, type RunningProcess } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';

interface Ready {
  readonly event: string;
  readonly temporal: string;
  readonly ui: string;
  readonly namespace: string;
  readonly pid: number;
}

interface Started {
  readonly process: RunningProcess;
  readonly log: string;
}

const PROGRAM = join(repositoryRoot, 'scripts', 'tidemark.js');

/** Command lines of the processes that name the folder, but for this test's own. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return command.includes(folder) ? [command] : [];
      } catch {
        return [];
      }
    });
}

/** The folder is closed to other users, as a home directory of root is. */
function closedFolder(): string {
  return mkdtempSync(join(tmpdir(), 'tidemark-up-'));
}

async function up(folder: string, ports: readonly [number, number], name: string, more: Readonly<Record<string, string>> = {}): Promise<Started> {
  const log = join(folder, `${name}.log`);
  const args = [PROGRAM, 'up', '--data-dir', join(folder, 'data'), '--temporal-port', String(ports[0]), '--ui-port', String(ports[1])];
  const env = { TEMPORAL_ADDRESS: undefined, DESTINATION_URL: undefined, TIDEMARK_LOG_LEVEL: 'warn', ...more };
  const running = startProcess(process.execPath, { args, cwd: folder, env, log });
  onFileEnd(async () => void (await running.stop()));
  return { process: running, log };
}

function readyLine({ log }: Started): Ready | null {
  const line = readFileSync(log, 'utf8').split('\n').find((text) => text.startsWith('{"event":"ready"'));
  return line === undefined ? null : (JSON.parse(line) as Ready);
}

async function untilReady(started: Started): Promise<Ready> {
  return waitFor('the ready line', () => readyLine(started), 240_000, started.log);
}

async function destinationOf(folder: string): Promise<pg.Client> {
  const state = JSON.parse(readFileSync(join(folder, 'data', 'up.json'), 'utf8')) as { destinationUrl: string };
  const client = new pg.Client({ connectionString: state.destinationUrl });
  await client.connect();
  return client;
}

describeWith({ temporal: true }, 'tidemark up', () => {
  const folder = closedFolder();
  let ports: [number, number];
  let current: Started;
  let ready: Ready;

  beforeAll(async () => {
    ports = [await freePort(), await freePort()];
    current = await up(folder, ports, 'first');
    ready = await untilReady(current);
  });

  test('prints one ready line, serves the UI and a destination', async () => {
    expect(ready).toMatchObject({ event: 'ready', temporal: `127.0.0.1:${ports[0]}`, ui: `http://127.0.0.1:${ports[1]}`, namespace: 'default' });
    expect((await fetch(ready.ui)).ok).toBe(true);
    const client = await destinationOf(folder);
    await client.query('create table kept (n integer)');
    await client.query('insert into kept values (7)');
    await client.end();
  });

  test('refuses a second one on the same directory, and a port that is in use', async () => {
    const second = await up(folder, [await freePort(), await freePort()], 'second');
    expect(await second.process.exited).toBe(3);
    expect(readFileSync(second.log, 'utf8')).toContain('Another `tidemark up` uses the data directory');
    const elsewhere = join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    const third = await up(elsewhere, ports, 'third');
    expect(await third.process.exited).toBe(3);
    expect(readFileSync(third.log, 'utf8')).toContain(`Port ${ports[0]}`);
    expect(processesOf(elsewhere)).toEqual([]);
  });

  test('starts again after SIGKILL, with its data, also where TEMPORAL_ADDRESS was set to it for the other commands', async () => {
    process.kill(ready.pid, 'SIGKILL');
    await current.process.exited;
    current = await up(folder, ports, 'after-kill', { TEMPORAL_ADDRESS: `127.0.0.1:${ports[0]}` });
    const again = await untilReady(current);
    expect(again.temporal).toBe(ready.temporal);
    ready = again;
    const client = await destinationOf(folder);
    expect((await client.query('select n from kept')).rows).toEqual([{ n: 7 }]);
    await client.end();
  });

  test('SIGTERM ends it and leaves no process', async () => {
    expect(processesOf(join(folder, 'data')).length).toBeGreaterThan(0);
    process.kill(ready.pid, 'SIGTERM');
    expect(await current.process.exited).toBe(0);
    expect(processesOf(join(folder, 'data'))).toEqual([]);
  });
});
