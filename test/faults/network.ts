/**
 * Connections to the source and to the destination that are cut, go silent, trickle or come in bytes (F-21 to F-28), and a commit whose
 * answer never arrives (F-41).
 */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import type { Toxic } from '../support/tcp-proxy.ts';
import { allFaults, playsAll } from './all-faults.ts';
import { FaultRun } from './fault-run.ts';
import { engineOf } from './fault-source.ts';
import { testLanes } from './lanes.ts';
import type { Case } from './lanes.ts';

const SILENT_MS = 20_000;
/** What bounds a line that says nothing where its server can't tell that it waits; the default is half an hour. */
const SHORT_STATEMENTS = '  statement_timeout: 10s\n';

/** The lane of {@link testNetwork} whose source goes silent. */
const SILENT_LANE = 1;

type Side = 'source' | 'destination';

/** What stands before both ends of a stream. */
const proxies = new WeakMap<FaultRun, Record<Side, TcpProxy>>();

function proxyOf(run: FaultRun, side: Side): TcpProxy {
  const proxy = proxies.get(run)?.[side];
  if (proxy === undefined) throw new Error('no proxy');
  return proxy;
}

let changes = 0;

async function more(run: FaultRun): Promise<void> {
  changes += 1;
  await run.change(1, 250, `change ${changes}`);
  await run.insert(100_000 + changes * 200, 100_149 + changes * 200);
}

const firstLoad: Case = { name: 'the first load', play: (run) => run.sync() };

/** Open connections are cut while an attempt stands at the place. */
function cut(side: Side, phase: 'P1' | 'P3' | 'P6'): Case {
  return {
    name: `the ${side} is cut at ${phase}`,
    play: async (run) => {
      await more(run);
      await run.disturbedAt({ phase }, async () => {
        proxyOf(run, side).set({ kind: 'refuse' });
        proxyOf(run, side).set(null);
      });
    },
  };
}

/** The whole sync runs over a line like this. */
function over(side: Side, toxic: Toxic): Case {
  return {
    name: `the ${side} over a line of ${toxic.kind}`,
    play: async (run) => {
      await more(run);
      proxyOf(run, side).set(toxic);
      await run.sync();
      proxyOf(run, side).set(null);
    },
  };
}

/** Each connection ends after so many bytes, until one has. */
function limited(side: Side, bytes: number): Case {
  return {
    name: `the ${side} is cut after ${bytes} bytes`,
    play: async (run) => {
      await more(run);
      const before = proxyOf(run, side).cuts;
      proxyOf(run, side).set({ kind: 'limit', bytes });
      const running = run.begin();
      const ended = { value: false };
      void running.finally(() => (ended.value = true));
      await waitFor('a connection to be cut', () => (ended.value || proxyOf(run, side).cuts > before ? true : null));
      proxyOf(run, side).set(null);
      await run.healed(running);
    },
  };
}

/** Nothing passes for a while, and nothing says so; what was open then stays deaf where the line `forgets`. */
function silent(side: Side, after: 'heals' | 'forgets'): Case {
  return {
    name: `the ${side} goes silent at P1 and ${after}`,
    play: async (run) => {
      await more(run);
      await run.disturbedAt({ phase: 'P1' }, async () => {
        proxyOf(run, side).set({ kind: after === 'forgets' ? 'forget' : 'black hole' });
        if (after === 'heals') setTimeout(() => proxyOf(run, side).set(null), SILENT_MS).unref();
      });
      proxyOf(run, side).set(null);
    },
  };
}

/** The server commits, the worker never hears of it. */
function commitCut(nth: number): Case {
  return {
    name: `the answer to commit ${nth} of a sync never arrives`,
    play: async (run) => {
      await more(run);
      let seen = 0;
      proxyOf(run, 'destination').cutAnswerTo((sent) => /\bcommit\b/i.test(sent.toString('latin1')) && ++seen === nth);
      const running = run.begin();
      await run.healed(running);
      proxyOf(run, 'destination').cutAnswerTo(null);
      if (seen < nth) throw new Error(`the sync had only ${seen} commits`);
    },
  };
}

/** Lines to the destination do not know where the rows come from: CI plays them for one kind of source. */
function destinationLanes(): Case[][] {
  return [
    [
      firstLoad,
      cut('destination', 'P3'),
      ...[3, 6].map((nth) => commitCut(nth)),
      ...allFaults([
        cut('destination', 'P1'),
        cut('destination', 'P6'),
        over('destination', { kind: 'trickle', bytesPerSecond: 8_000 }),
        over('destination', { kind: 'slices' }),
        ...[1, 2, 4, 5, 7, 8, 9, 10].map((nth) => commitCut(nth)),
        ...[1, 2, 4].map((kib) => limited('destination', kib * 1024)),
      ]),
    ],
    [firstLoad, silent('destination', 'forgets'), ...allFaults([silent('destination', 'heals')])],
  ];
}

export function testNetwork(kind: string): void {
  const engine = engineOf(kind);
  const playsDestination = playsAll || kind === 'postgres';
  describeWith(engine.needs, `connections that break, ${kind}`, () => {
    const lanes: Case[][] = [
      [
        firstLoad,
        cut('source', 'P1'),
        over('source', { kind: 'trickle', bytesPerSecond: 8_000 }),
        ...allFaults([cut('source', 'P3'), over('source', { kind: 'slices' }), ...[1, 2, 4, 8, 16, 24].map((kib) => limited('source', kib * 1024))]),
      ],
      [firstLoad, silent('source', 'forgets'), ...allFaults([silent('source', 'heals')])],
      ...(playsDestination ? destinationLanes() : []),
    ];
    testLanes(lanes, async (lane) => {
      const from = await engine.shared();
      const target = await createDatabase('target');
      const before = { source: await TcpProxy.before(from.address), destination: await TcpProxy.before(target.server) };
      const run = await FaultRun.start({ engine, source: from, sourceAt: before.source, target, targetUrl: through(target.url, before.destination), ...(lane === SILENT_LANE && !engine.showsSessions ? { defaults: SHORT_STATEMENTS } : {}) });
      proxies.set(run, before);
      return run;
    });
  });
}

function through(url: string, proxy: TcpProxy): string {
  const other = new URL(url);
  [other.hostname, other.port] = [proxy.host, String(proxy.port)];
  return other.href;
}
