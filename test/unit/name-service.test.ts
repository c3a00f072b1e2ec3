/** A lookup that nobody answers ends with the process that it runs in. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { NameService } from '../../connectors/name-service.ts';
import { reach } from '../../connectors/reach.ts';
import { onFileEnd } from '../support/release.ts';

const CONNECTORS = join(import.meta.dirname, '../../connectors');
const folder = mkdtempSync(join(tmpdir(), 'tidemark-names-'));
onFileEnd(() => rmSync(folder, { recursive: true }));

function program(name: string, lines: readonly string[]): string {
  const file = join(folder, name);
  writeFileSync(file, lines.join('\n'));
  return file;
}

/** Takes questions, tells its process id by a file, and answers none; its parent's end does not end it, as a thread of the resolver would not. */
const silent = (pidFile: string): string =>
  program('silent.mjs', [
    "import { writeFileSync } from 'node:fs';",
    `process.on('message', () => writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)));`,
    'setInterval(() => undefined, 1000);',
    "process.send('ready');",
  ]);

function named(options: { readonly program?: string } = {}): NameService {
  const names = new NameService({}, options.program);
  onFileEnd(() => names.close());
  return names;
}

async function listen(): Promise<number> {
  const server = createServer((socket) => void socket.on('error', () => undefined).destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onFileEnd(() => void server.close());
  return (server.address() as AddressInfo).port;
}

const lookupsHere = (): number => process.getActiveResourcesInfo().filter((each) => each === 'GetAddrInfoReqWrap').length;

async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function pidIn(file: string): Promise<number> {
  for (;;) {
    const text = await readFile(file, 'utf8').catch(() => '');
    if (text !== '') return Number(text);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a silent name service is given up, no lookup is left in this process, and the other one ends', async () => {
  const pidFile = join(folder, 'given-up.pid');
  const names = named({ program: silent(pidFile) });
  const reaching = [1, 2, 3].map((n) => reach({ host: `silent-${n}.example`, port: 1 }, { withinMs: 60_000, nameWithinMs: 50, names }));
  const ends = await Promise.allSettled(reaching);
  for (const [index, end] of ends.entries()) expect(end).toMatchObject({ status: 'rejected', reason: { code: 'source.unreachable', message: expect.stringContaining(`silent-${index + 1}.example within 0.05 s`) } });
  expect(lookupsHere()).toBe(0);
  const pid = await pidIn(pidFile);
  names.close();
  await gone(pid);
});

test('a process that ends in the middle of a lookup leaves no other behind', async () => {
  const script = program('ends.mjs', [
    `const { NameService } = await import(${JSON.stringify(join(CONNECTORS, 'name-service.ts'))});`,
    `const names = new NameService({ RES_OPTIONS: 'timeout:30 attempts:5' });`,
    `const lookup = await names.lookupFor('no-such-host.example');`,
    `lookup('no-such-host.example', {}, () => undefined);`,
    `const { execFileSync } = await import('node:child_process');`,
    `process.stdout.write(execFileSync('ps', ['-A', '-o', 'ppid=,pid=,args='], { encoding: 'utf8' }).split('\\n').filter((line) => line.trim().startsWith(process.pid + ' ')).join('\\n'));`,
    'process.exit(7);',
  ]);
  const ended = await promisify(execFile)(process.execPath, [script]).then(() => null, (error: { code: number; stdout: string }) => error);
  expect(ended?.code).toBe(7);
  const child = /^\s*\d+\s+(\d+) .*name-lookups/m.exec(ended?.stdout ?? '');
  expect(child).not.toBeNull();
  await gone(Number(child?.[1]));
});

test("names are those of the system's resolver, and the port behind one is reached", async () => {
  const names = named();
  const own = hostname();
  const here = await promisify(execFile)(process.execPath, ['-e', `require('dns').lookup(${JSON.stringify(own)}, { all: true }, (error, all) => console.log(JSON.stringify(error ? error.code : all)))`]);
  const lookup = await names.lookupFor(own);
  const there = await new Promise((resolve) => lookup?.(own, { all: true }, (error, all) => resolve(JSON.stringify(error?.code ?? all))));
  expect(there).toBe(here.stdout.trim());
  const fixed = named({ program: program('fixed.mjs', ["process.on('message', ({ id }) => process.send({ id, addresses: [{ address: '127.0.0.1', family: 4 }] }));", "process.send('ready');"]) });
  await expect(reach({ host: 'db.example', port: await listen() }, { withinMs: 60_000, names: fixed })).resolves.toBeUndefined();
});

test('an unknown name is told from a silent service', async () => {
  const names = named({ program: program('unknown.mjs', ["process.on('message', ({ id }) => process.send({ id, code: 'ENOTFOUND' }));", "process.send('ready');"]) });
  await expect(reach({ host: 'typo.example', port: 1 }, { withinMs: 60_000, names })).rejects.toMatchObject({ code: 'source.host_unknown' });
});

test('where the other process fails, names are looked up here', async () => {
  for (const broken of [program('broken.mjs', ['process.exit(1);']), program('late.mjs', ["process.on('message', () => process.exit(1));", "process.send('ready');"])]) {
    const names = named({ program: broken });
    const lookup = await names.lookupFor('localhost.');
    const found = await new Promise((resolve) => lookup?.('localhost.', { all: false }, (error, address) => resolve(error?.code ?? address)));
    expect(['127.0.0.1', '::1', 'ENOTFOUND', 'EAI_AGAIN']).toContain(found);
  }
});

test('no process is started for addresses and for this machine', async () => {
  const names = named({ program: '/nonexistent' });
  await expect(reach({ host: '127.0.0.1', port: await listen() }, { withinMs: 60_000, names })).resolves.toBeUndefined();
  await expect(names.lookupFor('::1')).resolves.toBeUndefined();
  await expect(names.lookupFor('localhost')).resolves.toBeUndefined();
});
