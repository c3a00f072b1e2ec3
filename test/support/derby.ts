/**
 * Apache Derby's network server, which stands in for Db2 in tests: one for a run with a database for each test file, or a private
 * one that a test may kill. SQL is run by Derby's own client, `ij`, so that no code of Tidemark puts the data there.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import { servers } from './describe-with.ts';
import { freePort, logTail, startProcess, waitFor, type RunningProcess } from './processes.ts';
import { onFileEnd } from './release.ts';
import { registerProcess, runFolder } from './run-folder.js';
import { scratchFolder, sharedServer, uniqueName } from './shared-server.ts';
import { which } from './find-servers.js';

export interface DerbyServer {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly log: string;
  readonly pid: number;
}

const JAVA = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xmx256m', '-Dfile.encoding=UTF-8', '-Dderby.ui.codeset=UTF-8'];
const STATEMENT_MS = 60_000;

function classPath(): string {
  if (servers.db2 === null) throw new Error('no Derby: guard the test with describeWith({ db2: true }, …)');
  return join(servers.db2, '*');
}

/** One connection of `ij`. Statements run one after another; open transactions are this connection's. */
export class DerbyClient {
  readonly #child: ChildProcessWithoutNullStreams;
  #output = '';
  #marks = 0;

  constructor(url: string) {
    this.#child = spawn(which('java') ?? 'java', [...JAVA, '-Dij.maximumDisplayWidth=40000', '-cp', classPath(), 'org.apache.derby.tools.ij'], { stdio: 'pipe', detached: true });
    if (this.#child.pid !== undefined) registerProcess(runFolder(), this.#child.pid, 'SIGKILL');
    this.#child.stdout.setEncoding('utf8').on('data', (chunk: string) => (this.#output += chunk));
    this.#child.stdin.on('error', () => undefined);
    this.#child.stdin.write(`connect '${url}';\n`);
    onFileEnd(() => this.close());
  }

  /** What `ij` printed. Throws with its error where the statement failed. */
  async run(sql: string): Promise<string> {
    const printed = await this.#until(sql);
    const error = /^(?:ij> )*(?:ERROR|IJ ERROR).*$/m.exec(printed);
    if (error !== null) throw new Error(error[0]);
    return printed;
  }

  /** Ends the connection without a word: what is uncommitted is rolled back. */
  close(): void {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
  }

  async #until(sql: string): Promise<string> {
    this.#marks += 1;
    const mark = `end of statement ${this.#marks}.`;
    this.#output = '';
    // A comment would echo nothing; a value of its own row does.
    this.#child.stdin.write(`${sql};\nvalues 'end of statement ' || '${this.#marks}.';\n`);
    return waitFor(`Derby to run a statement (${this.#output.slice(-500)})`, () => (this.#output.includes(mark) ? this.#output : null), STATEMENT_MS);
  }
}

export class DerbyDatabase {
  readonly server: DerbyServer;
  readonly name: string;
  #client: DerbyClient | null = null;

  constructor(server: DerbyServer, name: string) {
    this.server = server;
    this.name = name;
  }

  /** As under `connection:` of a source, resolved. */
  get connection(): Readonly<Record<string, unknown>> {
    const { host, port, user, password } = this.server;
    return { host, port, user, password, database: this.name, authentication: 'server' };
  }

  /** A connection of its own, for open transactions. */
  client(options = ''): DerbyClient {
    const { host, port, user, password } = this.server;
    return new DerbyClient(`jdbc:derby://${host}:${port}/${this.name};user=${user};password=${password}${options}`);
  }

  async run(sql: string): Promise<string> {
    this.#client ??= this.client(';create=true');
    return this.#client.run(sql);
  }

  /** The next statement gets a new connection: the server that this one's was to has ended. */
  reconnect(): void {
    this.#client?.close();
    this.#client = null;
  }
}

/** `onPort`: of a server of the same folder that has ended. */
export async function startDerby(folder: string, options: readonly string[] = [], onPort?: number): Promise<DerbyServer & { process: RunningProcess }> {
  const port = onPort ?? (await freePort());
  const log = join(folder, onPort === undefined ? 'derby-server.log' : `derby-server-${uniqueName('again')}.log`);
  const control = ['org.apache.derby.drda.NetworkServerControl', 'start', '-h', '127.0.0.1', '-p', String(port), '-noSecurityManager'];
  const settings = [`-Dderby.system.home=${folder}`, '-Dderby.locks.waitTimeout=5', '-Dderby.system.durability=test', ...options];
  const running = startProcess(which('java') ?? 'java', { args: [...JAVA, ...settings, '-cp', classPath(), ...control], log, cwd: folder });
  await waitFor('Derby', () => (logTail(log).includes('ready to accept connections') ? true : null), 60_000, log);
  return { host: '127.0.0.1', port, user: 'app', password: 'app', log, pid: running.pid, process: running };
}

export async function sharedDerby(): Promise<DerbyServer> {
  return sharedServer('derby', async (folder) => {
    const { process: _process, ...server } = await startDerby(folder);
    return server;
  });
}

/** A server of this test's own; ends with the test file. */
export async function privateDerby(options: readonly string[] = []): Promise<DerbyServer & { process: RunningProcess }> {
  const server = await startDerby(scratchFolder('derby'), options);
  onFileEnd(async () => void (await server.process.stop()));
  return server;
}

/** A fresh database of the shared server. Its name is upper case: the driver writes names so. */
export async function createDerby(prefix: string): Promise<DerbyDatabase> {
  const name = uniqueName(prefix).toUpperCase().replaceAll('_', '').slice(-18);
  return new DerbyDatabase(await sharedDerby(), name);
}
