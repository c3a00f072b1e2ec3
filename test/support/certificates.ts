/** Certificates for tests of TLS, made by openssl: an authority, and servers that it vouches for. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { which } from './find-servers.js';
import { scratchFolder } from './shared-server.ts';

export const hasOpenssl = which('openssl') !== null;

export interface ServerCertificate {
  /** PEM texts. */
  readonly key: string;
  readonly certificate: string;
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class Authority {
  readonly #folder = scratchFolder('authority');
  #count = 0;

  constructor(name: string) {
    this.#openssl(['req', '-x509', ...KEY, '-days', '2', '-subj', `/CN=${name}`, '-keyout', 'ca.key', '-out', 'ca.crt']);
  }

  /** PEM text of the authority's own certificate. */
  get pem(): string {
    return this.#read('ca.crt');
  }

  /** `names` as in a subjectAltName: `IP:127.0.0.1`, `DNS:db.bank.example`. It ran out a day ago where `days` is -1. */
  issue(names: readonly string[], days = 2): ServerCertificate {
    this.#count += 1;
    const file = (kind: string): string => `server${this.#count}.${kind}`;
    this.#openssl(['req', '-new', ...KEY, '-subj', '/CN=server', '-keyout', file('key'), '-out', file('csr')]);
    writeFileSync(join(this.#folder, file('ext')), `subjectAltName=${names.join(',')}\n`);
    this.#openssl(['x509', '-req', '-in', file('csr'), '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', String(days), '-extfile', file('ext'), '-out', file('crt')]);
    return { key: this.#read(file('key')), certificate: this.#read(file('crt')) };
  }

  #read(name: string): string {
    return readFileSync(join(this.#folder, name), 'utf8');
  }

  #openssl(args: readonly string[]): void {
    execFileSync('openssl', args, { cwd: this.#folder, stdio: 'ignore' });
  }
}
