import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWith, repositoryRoot } from '../support/describe-with.ts';
import { freePort, logTail, startProcess } from '../support/processes.ts';

/** Two whole starts, each with a first sync of all tables. */
const TIMEOUT_MS = 900_000;

describeWith({ temporal: true }, 'npm start -- --once', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-start-'));

  async function once(name: string): Promise<string> {
    const log = join(folder, name);
    const args = [join(repositoryRoot, 'scripts', 'start.js'), '--once', '--data-dir', join(folder, 'data'), '--temporal-port', String(await freePort()), '--ui-port', String(await freePort())];
    const running = startProcess(process.execPath, { args, cwd: folder, log, env: { TEMPORAL_ADDRESS: undefined } });
    const code = await running.exited;
    if (code !== 0) throw new Error(`ended with ${code}:\n${logTail(log)}`);
    return readFileSync(log, 'utf8');
  }

  test('every demo table equals its source, and a second start goes on from there', async () => {
    const first = await once('first.log');
    expect(first).toContain('Making the demo bank');
    expect(first.match(/^equal {3}/gm)).toHaveLength(5);
    const second = await once('second.log');
    expect(second).not.toContain('Making the demo bank');
    expect(second.match(/^equal {3}/gm)).toHaveLength(5);
  }, TIMEOUT_MS);
});
