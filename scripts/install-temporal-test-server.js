#!/usr/bin/env node
/**
 * Fetches Temporal's time-skipping test server from Maven Central into the cache: workflow tests pass days in seconds with it. Needs Java
 * and Maven. Runs on any Node from 18 on.
 *
 *   node scripts/install-temporal-test-server.js
 *
 * Exit 0: it is there. Exit 3: it can't be had, and why.
 */
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { putInPlace, workFolder } from './bootstrap/cache.js';
import { TEST_SERVER_VERSION, hasTestServer, testServerFolder } from './temporal-test-server-folder.js';

const STEP_MS = 5 * 60_000;
const COPY_GOAL = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies';

const PROJECT = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>tidemark</groupId><artifactId>test-server</artifactId><version>1</version>
<dependencies><dependency><groupId>io.temporal</groupId><artifactId>temporal-test-server</artifactId><version>${TEST_SERVER_VERSION}</version></dependency></dependencies></project>`;

function main() {
  if (hasTestServer(testServerFolder())) return 0;
  const folder = workFolder('temporal-test-server');
  try {
    writeFileSync(join(folder, 'pom.xml'), PROJECT);
    const args = ['-q', '-B', '-f', join(folder, 'pom.xml'), COPY_GOAL, `-DoutputDirectory=${folder}`];
    const done = spawnSync('mvn', args, { encoding: 'utf8', timeout: STEP_MS, stdio: ['ignore', 'pipe', 'pipe'] });
    if (!hasTestServer(folder)) {
      const reason = done.error?.code ?? `${done.stdout}${done.stderr}`.split('\n').find((line) => line.includes('ERROR')) ?? 'no reason given';
      process.stderr.write(`temporal-test-server: cannot be had from Maven: ${String(reason).slice(0, 200)}\n`);
      return 3;
    }
    putInPlace(folder, testServerFolder(), () => hasTestServer(testServerFolder()));
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = main();
