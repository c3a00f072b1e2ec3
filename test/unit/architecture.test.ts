/**
 * Nothing outside a connector's folder names that connector: code asks for a capability, never for a product.
 * The kinds are the folders of connectors/; their other spellings are read from the manifests' text, which needs no driver.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { repositoryRoot } from '../support/describe-with.ts';

const FOLDERS = ['schemas', 'connectors', 'destinations', 'pipeline', 'control', 'activities', 'workflows', 'workers', 'runtime', 'cli', 'api', 'console'];
/** The destination is a product too; its own code, and what starts it, may say which. */
const MAY_NAME_POSTGRES = /^(destinations\/postgres\/|runtime\/(postgres-|server-|up\.ts$))/;

function sources(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') || file.endsWith('.tsx'))
    .map((file) => join(folder, file));
}

const kinds = readdirSync(join(repositoryRoot, 'connectors'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

function spellings(kind: string): string[] {
  const manifest = join(repositoryRoot, 'connectors', kind, 'manifest.ts');
  const aliases = existsSync(manifest) ? (/aliases:\s*\[([^\]]*)\]/.exec(readFileSync(manifest, 'utf8'))?.[1] ?? '') : '';
  return [kind, ...[...aliases.matchAll(/'([^']+)'/g)].map((match) => match[1] ?? '')];
}

/** Lines with a string literal that is exactly one of `names`. */
function namings(file: string, names: readonly string[]): string[] {
  const literal = new RegExp(`(['"\`])(${names.join('|')})\\1`);
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line, index) => (literal.test(line) ? [`${relative(repositoryRoot, file)}:${index + 1}`] : []));
}

test('there are connectors to look for', () => {
  expect(kinds).toContain('postgres');
});

test.each(kinds)('only connectors/%s names its kind', (kind) => {
  const own = join('connectors', kind, '/');
  const found = FOLDERS.flatMap((folder) => sources(join(repositoryRoot, folder)))
    .filter((file) => !relative(repositoryRoot, file).startsWith(own))
    .filter((file) => kind !== 'postgres' || !MAY_NAME_POSTGRES.test(relative(repositoryRoot, file)))
    .flatMap((file) => namings(file, spellings(kind)));
  expect(found).toEqual([]);
});

test('no drawers: a file is named for its responsibility', () => {
  const drawers = FOLDERS.flatMap((folder) => sources(join(repositoryRoot, folder)))
    .map((file) => relative(repositoryRoot, file))
    .filter((file) => /(^|\/)(utils?|helpers?|common|misc)(\/|\.ts$)/.test(file));
  expect(drawers).toEqual([]);
});
