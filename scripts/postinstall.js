/**
 * Run by npm after an installation, so that `npx tidemark up` needs no network later: brings Node 24 and a Temporal server program.
 * Never fails an installation. TIDEMARK_SKIP_TEMPORAL=1 leaves the server out, for images that use a server elsewhere.
 */
import { bringNode } from './bootstrap/node.js';
import { linkCommand } from './bootstrap/packages.js';
import { ROOT } from './bootstrap/prepare.js';
import { say } from './bootstrap/report.js';
import { bringTemporal } from './bootstrap/temporal.js';

async function main() {
  if (process.env.TIDEMARK_SKIP_POSTINSTALL === '1') return;
  linkCommand(ROOT);
  const node = await bringNode();
  if (process.env.TIDEMARK_SKIP_TEMPORAL !== '1' && !process.env.TEMPORAL_ADDRESS) await bringTemporal(ROOT, node);
}

try {
  await main();
} catch (error) {
  say(`warning: ${error instanceof Error ? error.message : 'the set-up after the installation failed'}`);
}
