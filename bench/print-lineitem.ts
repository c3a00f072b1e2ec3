/** `node bench/print-lineitem.ts ROWS` prints the generated rows. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { lineitemRows } from './lineitem-generator.ts';

const LINES_AT_ONCE = 1000;

function* chunks(count: number): Generator<string> {
  let lines: string[] = [];
  for (const line of lineitemRows(count)) {
    lines.push(line);
    if (lines.length < LINES_AT_ONCE) continue;
    yield `${lines.join('\n')}\n`;
    lines = [];
  }
  if (lines.length > 0) yield `${lines.join('\n')}\n`;
}

await pipeline(Readable.from(chunks(Number(process.argv[2]))), process.stdout);
