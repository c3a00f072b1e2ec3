/** Node 24, on which everything but this bootstrap runs: the current one, the one in the cache, or npm's package of it. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, putInPlace, workFolder } from './cache.js';
import { npm } from './programs.js';
import { MissingError, say } from './report.js';

const MAJOR_MIN = 24;
const VERSION = '24.9.0';

const packageName = () => `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
const programIn = (modules) => join(modules, packageName(), 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

/** Path of a Node ≥ 24 that is there already, or null. Costs one look at the file system. */
export function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= MAJOR_MIN) return process.execPath;
  const cached = programIn(join(cacheFolder(), 'node', 'node_modules'));
  return existsSync(cached) ? cached : null;
}

/** Path of a Node ≥ 24, brought where it is missing. Throws MissingError. */
export async function bringNode() {
  const found = findNode();
  if (found !== null) return found;
  say(`bringing Node ${VERSION} (this is ${process.versions.node}) from npm to ${cacheFolder()}: about 10 seconds, 130 MB, once`);
  const work = workFolder('node');
  try {
    writeFileSync(join(work, 'package.json'), '{"private":true}\n');
    const code = await npm(['install', `${packageName()}@${VERSION}`, '--ignore-scripts', '--prefix', work], { cwd: work });
    if (code !== 0 || !existsSync(programIn(join(work, 'node_modules')))) {
      throw new MissingError(`Tidemark runs on Node ${MAJOR_MIN} or later, this is ${process.versions.node}, and ${packageName()} could not be installed from npm. Ways to get it:`, [
        'install Node 24 from https://nodejs.org and run the command with it',
        'let npm reach its registry (npm ping), and run the command again',
      ]);
    }
    putInPlace(work, join(cacheFolder(), 'node'), () => findNode() !== null);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return findNode();
}
