/** Rows as PostgreSQL's protocol sends them, cut wherever a network may cut them. */
import { EventEmitter } from 'node:events';
import type { Connection } from 'pg';
import fc from 'fast-check';
import { CopyOutQuery } from '../../connectors/postgres/copy-messages.ts';

const message = (code: string, payload: Buffer): Buffer => {
  const header = Buffer.from([code.charCodeAt(0), 0, 0, 0, 0]);
  header.writeUInt32BE(payload.length + 4, 1);
  return Buffer.concat([header, payload]);
};

/** Takes whole CopyData messages apart; throws where they are not whole. */
function payloads(bytes: Buffer): Buffer {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + bytes.readUInt32BE(at + 1);
    if (bytes[at] !== 0x64 || end > bytes.length) throw new Error(`no whole CopyData message at ${at}`);
    found.push(bytes.subarray(at + 5, end));
    at = end;
  }
  return Buffer.concat(found);
}

class Line extends EventEmitter {
  pause(): void {}
  resume(): void {}
}

interface Heard {
  readonly data: readonly Buffer[];
  readonly seen: Buffer;
  readonly payload: number;
  readonly ended: boolean;
  /** What the driver reads on from. */
  readonly after: Buffer;
}

function hear(sent: Buffer, cuts: readonly number[], framed: boolean): Heard {
  const line = new Line();
  const [data, seen, after]: [Buffer[], Buffer[], Buffer[]] = [[], [], []];
  let [payload, ended] = [0, false];
  line.on('data', (chunk: Buffer) => after.push(chunk));
  const query = new CopyOutQuery('COPY t TO STDOUT');
  if (framed) {
    query.keepFrames((bytes, of) => {
      seen.push(Buffer.from(bytes));
      payload += of;
    });
  }
  query.on('data', (bytes) => data.push(Buffer.from(bytes)));
  query.on('end', () => (ended = true));
  query.submit({ stream: line, query: () => undefined } as unknown as Connection);
  const at = [...new Set([0, ...cuts.map((cut) => cut % sent.length), sent.length])].sort((a, b) => a - b);
  for (let i = 1; i < at.length; i += 1) line.emit('data', Buffer.from(sent.subarray(at[i - 1], at[i])));
  return { data, seen: Buffer.concat(seen), payload, ended, after: Buffer.concat(after) };
}

const row = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const between = fc.constantFrom(null, message('N', Buffer.from('SNOTICE\0\0')), message('S', Buffer.from('TimeZone\0UTC\0')));
const rows = fc.array(fc.tuple(row, between), { maxLength: 12 });
const cuts = fc.array(fc.nat(), { maxLength: 60 });
const START = message('H', Buffer.from([1, 0, 1, 0, 1]));
const END = Buffer.concat([message('C', Buffer.from('COPY 1\0')), message('Z', Buffer.from('I'))]);

const sentOf = (all: readonly (readonly [Buffer, Buffer | null])[]): Buffer => Buffer.concat([START, ...all.flatMap(([bytes, other]) => [...(other === null ? [] : [other]), message('d', bytes)])]);

test('rows arrive without their frames, and the driver reads on behind them', () => {
  fc.assert(
    fc.property(rows, cuts, (all, cutAt) => {
      const heard = hear(Buffer.concat([sentOf(all), message('c', Buffer.alloc(0)), END]), cutAt, false);
      expect(Buffer.concat(heard.data)).toEqual(Buffer.concat(all.map(([bytes]) => bytes)));
      expect(heard.ended).toBe(true);
      expect(heard.after).toEqual(END);
    }),
  );
});

test('with frames, what was passed on is whole messages at any moment, and the tap sees what the source sent', () => {
  fc.assert(
    fc.property(rows, cuts, (all, cutAt) => {
      const heard = hear(Buffer.concat([sentOf(all), message('c', Buffer.alloc(0)), END]), cutAt, true);
      const bare = Buffer.concat(all.map(([bytes]) => bytes));
      expect(payloads(Buffer.concat(heard.data))).toEqual(bare);
      heard.data.forEach((_, index) => payloads(Buffer.concat(heard.data.slice(0, index + 1))));
      expect(heard.seen).toEqual(Buffer.concat(all.map(([bytes]) => message('d', bytes))));
      expect(heard.payload).toBe(bare.length);
      expect(heard.after).toEqual(END);
    }),
  );
});

test('an error of the server goes to the driver, and ends no stream', () => {
  fc.assert(
    fc.property(rows, cuts, fc.boolean(), (all, cutAt, framed) => {
      const error = Buffer.concat([message('E', Buffer.from('SERROR\0C57014\0\0')), message('Z', Buffer.from('E'))]);
      const heard = hear(Buffer.concat([sentOf(all), error]), cutAt, framed);
      expect(heard.ended).toBe(false);
      expect(heard.after).toEqual(error);
    }),
  );
});
