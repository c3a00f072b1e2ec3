/** `docs/types.md`, made from the connectors' own type tables: each has a `documented-types.ts` that asks its mapping, so the page can't say else. */
import { loadRegistry } from './registry.ts';
import type { Column } from '../schemas/table.ts';

/** One line: what a column of `native` becomes. */
export interface DocumentedType {
  readonly native: string;
  /** Null: a column of it is refused when it is read. */
  readonly pgType: string | null;
  readonly order: Column['order'];
  readonly note?: string;
  /** Values that no column of `pgType` can hold; their rows wait in quarantine. */
  readonly refused?: string;
}

/** What a connector's `documented-types.ts` exports. */
export interface DocumentedTypes {
  readonly documentedTypes: readonly DocumentedType[];
  /** The stream's `types:` choices that change the table. */
  readonly choices: readonly { readonly name: string; readonly values: string; readonly means: string }[];
}

const HEAD = `# Types

Generated from the connectors' type tables by \`npm run docs:types\`; a test keeps it fresh.

A value arrives exactly or not at all: a row with a value that its target type can't hold waits in \`tidemark.quarantine\` with the reason, and a
type without a faithful place is kept as text or refused by name, as said here. *Cursor* says what the column may serve as: it follows a clock
(time), a counter (number), or only has an order (text).
`;

const ORDERS: Readonly<Record<Column['order'], string>> = { time: 'time', number: 'number', text: 'text', none: '' };
const cell = (text: string): string => text.replaceAll('|', '\\|');

function lineOf(type: DocumentedType): string {
  const target = type.pgType ?? '**refused**';
  const remarks = [type.note, type.refused === undefined ? undefined : `to quarantine: ${type.refused}`].filter((each) => each !== undefined).join('; ');
  return `| ${[type.native, target, type.pgType === null ? '' : ORDERS[type.order], remarks].map(cell).join(' | ')} |`;
}

function sectionOf(title: string, page: DocumentedTypes): string {
  const choices = page.choices.map(({ name, values, means }) => `- \`types: { ${name}: … }\`: ${values}. ${means}`);
  return [`## ${title}`, '', ...(choices.length === 0 ? [] : [...choices, '']), `| ${title} | PostgreSQL | cursor | |`, '|---|---|---|---|', ...page.documentedTypes.map(lineOf), ''].join('\n');
}

/** The whole page. */
export async function typePage(): Promise<string> {
  const { manifests } = await loadRegistry();
  const sections = await Promise.all(
    manifests.map(async ({ kind, title }) => sectionOf(title, (await import(`./${kind}/documented-types.ts`)) as DocumentedTypes)),
  );
  return [HEAD, ...sections].join('\n');
}
