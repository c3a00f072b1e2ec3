/**
 * What a command prints. With `--json` one JSON document on stdout and nothing else; otherwise text, with colours and tables on a
 * terminal and plain lines in a pipe. Everything printed here is made safe for terminals.
 */
import type { Writable } from 'node:stream';
import pico from 'picocolors';
import type { ErrorInfo } from '../schemas/errors.ts';
import { safeJson, safeLine, safeText } from './terminal-text.ts';

export type Colours = ReturnType<typeof pico.createColors>;

/** A stream of this process; `isTTY` says whether a person looks at it. */
export type Sink = Writable & { readonly isTTY?: boolean };

export interface OutputOptions {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly json: boolean;
  /** NO_COLOR is set, or the terminal is a dumb one. */
  readonly plain: boolean;
}

export interface Output {
  readonly json: boolean;
  /** A document or an error has been printed. */
  readonly answered: boolean;
  /** Somebody looks at stdout. */
  readonly terminal: boolean;
  /** For stdout; they do nothing in a pipe. */
  readonly colours: Colours;
  /** Ends a command: the document with `--json`, else the text. Resolves when it has left this process. */
  result(document: object, text: () => string | Promise<string>): Promise<void>;
  /** Text of a table: ruled on a terminal; in a pipe a line for each row, cells separated by tabs, headings first. */
  table(headings: readonly string[], rows: readonly (readonly string[])[]): Promise<string>;
  /** One line on stdout at once; nothing with `--json`. */
  line(text: string): Promise<void>;
  /** One line on stderr, for people and logs. */
  note(text: string): Promise<void>;
  /** An error: JSON on stdout with `--json`, else its sentence and its hint on stderr. */
  failure(error: ErrorInfo): Promise<void>;
}

function write(sink: Sink, text: string): Promise<void> {
  return new Promise((resolve) => {
    if (sink.destroyed) resolve();
    else sink.write(text, () => resolve());
  });
}

interface Located {
  readonly path: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly hint: string | null;
}

/** A remark about a place in a file: `tidemark.yaml:12:7 sources[3].id: sentence`, its hint on the next line. */
export function remarkText(remark: Located, colours: Colours): string {
  const where = `${remark.file}:${remark.line}:${remark.column}`;
  const path = remark.path === '' ? '' : ` ${colours.bold(safeLine(remark.path))}:`;
  const hint = remark.hint === null ? '' : `\n  ${colours.dim(safeLine(remark.hint))}`;
  return `${safeLine(where)}${path} ${safeLine(remark.message)}${hint}`;
}

function problemsOf(error: ErrorInfo): readonly Located[] {
  return 'problems' in error && Array.isArray(error.problems) ? (error.problems as readonly Located[]) : [];
}

function failureText(error: ErrorInfo, colours: Colours): string {
  const problems = problemsOf(error);
  if (problems.length > 0) {
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    return `${problems.map((problem) => remarkText(problem, colours)).join('\n')}\n${colours.red(`${count} in ${safeLine(problems[0]?.file ?? '')}`)}\n`;
  }
  const hint = error.hint === null ? '' : `${colours.dim(safeLine(error.hint))}\n`;
  return `${colours.red(safeLine(error.message))}\n${hint}`;
}

async function ruledTable(headings: readonly string[], rows: readonly (readonly string[])[], colours: Colours): Promise<string> {
  const { default: Table } = await import('cli-table3');
  const table = new Table({ head: headings.map((heading) => colours.bold(heading)), style: { head: [], border: [], compact: true } });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}

export function createOutput({ stdout, stderr, json, plain }: OutputOptions): Output {
  const terminal = stdout.isTTY === true;
  const colours = pico.createColors(terminal && !plain && !json);
  const errorColours = pico.createColors(stderr.isTTY === true && !plain);
  const print = (text: string): Promise<void> => write(stdout, safeText(text.endsWith('\n') ? text : `${text}\n`, colours.isColorSupported));
  let answered = false;
  return {
    json,
    get answered() {
      return answered;
    },
    terminal,
    colours,
    async result(document, text) {
      answered = true;
      if (json) await write(stdout, `${safeJson(document)}\n`);
      else await print(await text());
    },
    async table(headings, rows) {
      const cells = rows.map((row) => row.map((cell) => safeText(cell, colours.isColorSupported).replaceAll('\n', '\\n').replaceAll('\t', '\\t')));
      return terminal ? ruledTable(headings, cells, colours) : [headings, ...cells].map((row) => row.join('\t')).join('\n');
    },
    async line(text) {
      if (!json) await print(text);
    },
    note: (text) => write(stderr, `${safeText(text, errorColours.isColorSupported)}\n`),
    async failure(error) {
      answered = true;
      if (json) await write(stdout, `${safeJson({ ok: false, error })}\n`);
      else await write(stderr, safeText(failureText(error, errorColours), errorColours.isColorSupported));
    },
  };
}
