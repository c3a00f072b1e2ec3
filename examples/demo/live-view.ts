/** What the demo shows while it runs: a table that is redrawn on a terminal, a plain line for each change in a pipe. */
import Table from 'cli-table3';
import type pg from 'pg';
import { TABLES } from './bank.ts';

interface StreamView {
  readonly stream: string;
  readonly status: string;
  readonly rows: number;
  readonly lagSeconds: number | null;
  readonly lastRun: string | null;
  readonly read: number;
  readonly written: number;
}

const STREAMS = `
  select s.stream, coalesce(r.status, 'waiting') as status, r.read::int as read, r.written::int as written,
    to_char(coalesce(r.ended_at, r.started_at) at time zone 'UTC', 'HH24:MI:SS') as last_run,
    extract(epoch from clock_timestamp() - greatest(w.as_of, s.checked_at))::float8 as lag
  from tidemark.stream s
  left join tidemark.watermark w using (source, stream)
  left join lateral (
    select * from tidemark.run_stream r where r.source = s.source and r.stream = s.stream order by r.started_at desc limit 1) r on true
  where s.source = 'demo' order by s.ordinal`;

const LOADED = "select coalesce(sum(read), 0)::int as rows from tidemark.ledger where source = 'demo'";

/** Rows loaded so far, by the ledger; 0 before there is one. */
export async function loadedRows(client: pg.Client): Promise<number> {
  const result = await client.query<{ rows: number }>(LOADED).catch(() => null);
  return result?.rows[0]?.rows ?? 0;
}

async function countRows(client: pg.Client): Promise<Map<string, number>> {
  const counts = await client.query<{ table: string; rows: number }>(
    TABLES.map(({ name }) => `select '${name}' as table, count(*)::int as rows from demo.${name}`).join(' union all '),
  );
  return new Map(counts.rows.map((row) => [`bank.${row.table}`, row.rows]));
}

export async function readView(client: pg.Client): Promise<StreamView[]> {
  const counts = await countRows(client);
  const { rows } = await client.query<{ stream: string; status: string; read: number | null; written: number | null; last_run: string | null; lag: number | null }>(STREAMS);
  return rows.map((row) => ({
    stream: row.stream,
    status: row.status,
    rows: counts.get(row.stream) ?? 0,
    lagSeconds: row.lag,
    lastRun: row.last_run,
    read: row.read ?? 0,
    written: row.written ?? 0,
  }));
}

function viewTable(view: readonly StreamView[], plain: boolean): string {
  const table = new Table({ head: ['stream', 'status', 'rows', 'lag', 'last run (UTC)', 'read', 'written'], style: { head: plain ? [] : ['bold'], border: [] } });
  for (const s of view) {
    const lag = s.lagSeconds === null ? '' : `${s.lagSeconds.toFixed(1)} s`;
    table.push([s.stream, s.status, s.rows.toLocaleString('en-US'), lag, s.lastRun ?? '', s.read, s.written]);
  }
  return table.toString();
}

/** Draws over what it drew before. */
export class LiveView {
  #lines = 0;
  readonly #plain: boolean;

  constructor(plain: boolean) {
    this.#plain = plain;
  }

  draw(view: readonly StreamView[], footer: readonly string[]): void {
    if (!process.stdout.isTTY) {
      const total = view.reduce((sum, stream) => sum + stream.rows, 0);
      const lag = Math.max(0, ...view.map((stream) => stream.lagSeconds ?? 0));
      process.stdout.write(`${view.map((s) => `${s.stream} ${s.rows} ${s.status}`).join(', ')}; ${total} rows, lag ${lag.toFixed(1)} s\n`);
      return;
    }
    const text = [viewTable(view, this.#plain), ...footer].join('\n');
    process.stdout.write(`${this.#lines > 0 ? `\x1b[${this.#lines}A\x1b[0J` : ''}${text}\n`);
    this.#lines = text.split('\n').length;
  }
}

/** One line that grows on a terminal; a line every quarter in a pipe. `total` null: how much there is is not known. */
export class ProgressLine {
  #quarter = 0;
  #said = '';
  readonly #label: string;
  readonly #total: number | null;

  constructor(label: string, total: number | null) {
    this.#label = label;
    this.#total = total;
  }

  #text(done: number): string {
    const of = this.#total === null ? '' : ` of about ${this.#total.toLocaleString('en-US')}`;
    return `${this.#label}: ${done.toLocaleString('en-US')}${of} rows`;
  }

  show(done: number): void {
    const share = this.#total === null ? 0 : Math.min(1, done / this.#total);
    if (process.stdout.isTTY) {
      const filled = Math.round(share * 30);
      const bar = this.#total === null ? '' : `[${'#'.repeat(filled)}${'.'.repeat(30 - filled)}] `;
      process.stdout.write(`\r\x1b[K${bar}${this.#text(done)}`);
      return;
    }
    const quarter = Math.floor(share * 4);
    if (quarter <= this.#quarter || quarter === 4) return;
    this.#quarter = quarter;
    this.#say(this.#text(done));
  }

  /** The last word. */
  end(done: number): void {
    if (!process.stdout.isTTY) return this.#say(this.#text(done));
    this.show(done);
    process.stdout.write('\n');
  }

  #say(text: string): void {
    if (text !== this.#said) process.stdout.write(`${text}\n`);
    this.#said = text;
  }
}
