/**
 * Names looked up in a process apart. A lookup runs on a thread that nobody can call off: where a name server does not answer,
 * it holds the thread, and the end of its process, for as long as the resolver tries (glibc: 5 s and more). A process can be
 * killed with all its threads.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { lookup as lookupHere, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { join } from 'node:path';

export interface NameQuestion {
  readonly id: number;
  readonly host: string;
}

export type NameAnswer = { readonly id: number; readonly addresses: readonly LookupAddress[] } | { readonly id: number; readonly code: string };

type Settle = (answer: NameAnswer | null) => void;

/** libuv gives lookups half of the threads: this many names are asked for at once. */
const LOOKUPS_AT_ONCE = 128;

/** From then on lookups count as begun, though the process has not said that it runs. */
const START_MAX_MS = 5_000;

/** What the resolver of the C library reads. */
const RESOLVER_VARIABLES = ['HOSTALIASES', 'LOCALDOMAIN', 'RES_OPTIONS'] as const;

function resolverVariables(variables: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const chosen: Record<string, string> = {};
  for (const name of RESOLVER_VARIABLES) if (variables[name] !== undefined) chosen[name] = variables[name];
  return chosen;
}

/** Whoever makes one closes it. The process starts with the first name, and never outlives the one that started it. */
export class NameService {
  readonly #variables: Readonly<Record<string, string | undefined>>;
  readonly #program: string;
  readonly #waiting = new Map<number, Settle>();
  #child: ChildProcess | null = null;
  #started: Promise<void> | null = null;
  #asked = 0;

  /** `program`: another one that answers, for tests. */
  constructor(variables: Readonly<Record<string, string | undefined>>, program = join(import.meta.dirname, 'name-lookups.ts')) {
    this.#variables = variables;
    this.#program = program;
  }

  /** A lookup for `connect`, as soon as the process takes names; undefined for a host that needs none. */
  async lookupFor(host: string): Promise<LookupFunction | undefined> {
    if (isIP(host) !== 0 || host === 'localhost') return undefined;
    this.#started ??= this.#start();
    await this.#started;
    return (name, options, callback) => {
      this.#ask(name, (answer) => {
        if (answer === null) return lookupHere(name, options, callback);
        const family = options.family === 4 || options.family === 6 ? options.family : null;
        const found = 'code' in answer ? [] : answer.addresses.filter((each) => family === null || each.family === family);
        const [first] = found;
        if (first === undefined) return callback(Object.assign(new Error('The name has no address.'), { code: 'code' in answer ? answer.code : 'ENOTFOUND' }), '');
        if (options.all === true) callback(null, [...found]);
        else callback(null, first.address, first.family);
      });
    };
  }

  /** Ends the process at once; lookups that are under way are never answered. */
  close(): void {
    const child = this.#child;
    this.#child = null;
    this.#waiting.clear();
    child?.kill('SIGKILL');
  }

  #ask(host: string, settle: Settle): void {
    this.#asked += 1;
    const id = this.#asked;
    if (this.#child === null || !this.#child.connected) return settle(null);
    this.#waiting.set(id, settle);
    this.#child.send({ id, host } satisfies NameQuestion, (error) => {
      if (error !== null) this.#answer(id, null);
    });
  }

  #answer(id: number, answer: NameAnswer | null): void {
    const settle = this.#waiting.get(id);
    this.#waiting.delete(id);
    settle?.(answer);
  }

  /** Resolves when the process runs, or can't: names are then looked up here. */
  #start(): Promise<void> {
    const child = fork(this.#program, [], {
      env: { ...resolverVariables(this.#variables), UV_THREADPOOL_SIZE: String(2 * LOOKUPS_AT_ONCE) },
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child = child;
    child.unref();
    child.channel?.unref();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, START_MAX_MS);
      const started = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const gone = (): void => {
        started();
        if (this.#child === child) this.#child = null;
        for (const id of [...this.#waiting.keys()]) this.#answer(id, null);
      };
      child.on('message', (message: NameAnswer | 'ready') => (message === 'ready' ? started() : this.#answer(message.id, message)));
      child.on('error', gone).on('exit', gone);
    });
  }
}
