#!/usr/bin/env node
/**
 * Fetches Apache Derby, which stands in for a Db2 server in tests, from Maven Central into the cache. 10.7.1.1 is the last version that
 * IBM's driver talks to. Needs Java and Maven. Runs on any Node from 18 on.
 *
 *   node scripts/install-derby.js
 *
 * Exit 0: it is there. Exit 3: it can't be had, and why.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { putInPlace, workFolder } from './bootstrap/cache.js';
import { DERBY_JARS, DERBY_VERSION, derbyFolder } from './derby-folder.js';

const STEP_MS = 5 * 60_000;
const COPY_GOAL = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies';

const complete = (folder) => DERBY_JARS.every((jar) => existsSync(join(folder, jar)));

const dependency = (artifact) =>
  `<dependency><groupId>org.apache.derby</groupId><artifactId>${artifact}</artifactId><version>${DERBY_VERSION}</version></dependency>`;

const PROJECT = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>tidemark</groupId><artifactId>derby</artifactId><version>1</version>
<dependencies>${['derby', 'derbynet', 'derbyclient', 'derbytools'].map(dependency).join('')}</dependencies></project>`;

function main() {
  const target = derbyFolder();
  if (complete(target)) return 0;
  const folder = workFolder('derby');
  try {
    writeFileSync(join(folder, 'pom.xml'), PROJECT);
    const args = ['-q', '-B', '-f', join(folder, 'pom.xml'), COPY_GOAL, `-DoutputDirectory=${folder}`];
    const done = spawnSync('mvn', args, { encoding: 'utf8', timeout: STEP_MS, stdio: ['ignore', 'pipe', 'pipe'] });
    if (!complete(folder)) {
      const reason = done.error?.code ?? `${done.stdout}${done.stderr}`.split('\n').find((line) => line.includes('ERROR')) ?? 'no reason given';
      process.stderr.write(`derby: cannot be had from Maven: ${String(reason).slice(0, 200)}\n`);
      return 3;
    }
    putInPlace(folder, target, () => complete(target));
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = main();
