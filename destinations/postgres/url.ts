import type { ClientConfig } from 'pg';
import { TidemarkError } from '../../schemas/errors.ts';

const SSL_MODES = ['disable', 'require', 'verify-full'] as const;
type SslMode = (typeof SSL_MODES)[number];

/**
 * Reads `postgres://user:password@host:port/database?sslmode=…` into typed fields. Every other parameter is refused,
 * since drivers let some of them replace the host or switch checks off. Throws `config.invalid`; never repeats the URL.
 */
export function parseDestinationUrl(text: string): ClientConfig {
  const invalid = (what: string, hint: string) => new TidemarkError('config.invalid', what, { hint, path: 'destination.url' });
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid('destination.url is not a URL.', 'Write postgres://user:password@host:5432/database.');
  }
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') {
    throw invalid('destination.url is not a PostgreSQL URL.', 'Write postgres://user:password@host:5432/database.');
  }
  const database = decodeURIComponent(url.pathname.slice(1));
  if (url.hostname === '' || database === '') {
    throw invalid('destination.url names no host or no database.', 'Write postgres://user:password@host:5432/database.');
  }
  for (const name of url.searchParams.keys()) {
    if (name !== 'sslmode') throw invalid(`destination.url has the parameter ${name}, which is not supported.`, 'Only sslmode may follow the "?".');
  }
  const host = decodeURIComponent(url.hostname).replace(/^\[|\]$/g, '');
  const mode = url.searchParams.get('sslmode') ?? (isLoopback(host) ? 'disable' : 'verify-full');
  if (!isSslMode(mode)) throw invalid('destination.url has an unknown sslmode.', `Use one of ${SSL_MODES.join(', ')}.`);
  return {
    host,
    port: url.port === '' ? 5432 : Number(url.port),
    database,
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    ssl: mode === 'disable' ? false : { rejectUnauthorized: mode === 'verify-full' },
  };
}

function isSslMode(mode: string): mode is SslMode {
  return (SSL_MODES as readonly string[]).includes(mode);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}
