/** What a destination refuses: errors that pass, locks of others, a full disk, a target that is renamed away; each fails as a whole, says so, and heals. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { allFaults } from './all-faults.ts';
import { FaultRun, SOURCE, TABLE } from './fault-run.ts';
import { engineOf } from './fault-source.ts';
import { testLanes } from './lanes.ts';
import type { Case } from './lanes.ts';
import { smallDisk } from './small-disk.ts';

/** Long enough for a first attempt to fail. */
const FULL_MS = 4_000;
const TARGET = `${SOURCE}.${TABLE}`;

let changes = 0;

async function more(run: FaultRun): Promise<void> {
  changes += 1;
  await run.change(1, 250, `change ${changes}`);
  await run.insert(100_000 + changes * 200, 100_149 + changes * 200);
}

/** F-42, F-44, F-45: the target raises this once, in the middle of a load. A sequence counts, since no rollback takes that back. */
function raisedOnce(sqlState: string, what: string): Case {
  return {
    name: `${what} (${sqlState}) in a load`,
    play: async (run) => {
      await more(run);
      await run.target.query(`CREATE SEQUENCE times; CREATE FUNCTION raise_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('public.times') = 1 THEN RAISE EXCEPTION 'as a test wants it' USING ERRCODE = '${sqlState}'; END IF; RETURN NULL; END $$;
        CREATE TRIGGER raise_once AFTER INSERT OR UPDATE ON ${TARGET} FOR EACH STATEMENT EXECUTE FUNCTION raise_once()`);
      const running = run.begin();
      await running;
      if ((await run.target.value('SELECT last_value FROM times')) === '1' && (await run.target.value('SELECT is_called FROM times')) === 'f') throw new Error('the error was never raised');
      await run.target.query(`DROP TRIGGER raise_once ON ${TARGET}; DROP FUNCTION raise_once; DROP SEQUENCE times`);
      await run.healed(running);
    },
  };
}

/** F-45: our sessions are ended by somebody, at the place where an attempt stands. */
function terminated(phase: 'P3' | 'P6'): Case {
  return {
    name: `pg_terminate_backend of all sessions at ${phase}`,
    play: async (run) => {
      await more(run);
      await run.disturbedAt({ phase }, async () => void (await run.target.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tidemark%'")));
    },
  };
}

/** F-45: the destination is a replica for a while, as in a fail-over. */
const readOnly: Case = {
  name: 'a destination that is read-only for a while',
  play: async (run) => {
    await more(run);
    const name = run.target.name;
    const setReadOnly = async (on: 'on' | 'off') => {
      // A session that begins while it is on stays read-only: none of the pool that the next cases ask.
      const session = await run.target.client();
      await session.query(`BEGIN READ WRITE; ALTER DATABASE "${name}" SET default_transaction_read_only = ${on}; COMMIT`);
      await session.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tidemark%'");
      await session.end();
    };
    await run.disturbedAt({ phase: 'P4' }, async () => {
      await setReadOnly('on');
      setTimeout(() => void setReadOnly('off').catch(() => undefined), 3_000).unref();
    });
  },
};

/** F-46: another's transaction holds rows of the target for a while. */
const lockedByOther: Case = {
  name: "another transaction holds the target's rows for a while",
  play: async (run) => {
    await more(run);
    const other = await run.target.client();
    await run.disturbedAt({ phase: 'P4' }, async () => {
      await other.query(`BEGIN; SELECT FROM ${TARGET} FOR UPDATE`);
      run.goOn();
      await waitFor('the load to wait', async () => ((await run.target.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")) !== '0' ? true : null));
      await other.query('ROLLBACK');
    });
  },
};

/** F-43: the stream fails or waits for a person, with a reason; when the table is back, `retry` catches up. */
const renamedAway: Case = {
  name: 'the target is renamed away and back',
  play: async (run) => {
    await more(run);
    const before = await run.target.value('SELECT display FROM tidemark.watermark');
    run.arm({ phase: 'P4', action: 'hold' });
    const running = run.begin();
    await run.reached(running);
    await run.target.query(`ALTER TABLE ${TARGET} RENAME TO elsewhere`);
    run.goOn();
    const { code, json } = await running;
    const stream = json?.streams?.[0];
    if (code !== 1 || stream?.error === null || stream?.error === undefined) throw new Error(`a sync whose target is gone ended with ${code} and no reason`);
    if ((await run.target.value('SELECT display FROM tidemark.watermark')) !== before) throw new Error('the watermark moved without its rows');
    await run.target.query(`ALTER TABLE ${SOURCE}.elsewhere RENAME TO ${TABLE}`);
    await run.tidemark.run('retry', SOURCE, '--stream', TABLE, '--json');
    await run.settled();
  },
};

/** F-42: nothing more fits, at the place where an attempt stands, until somebody makes room. */
function fullDisk(disk: () => { fill(): Promise<void>; free(): Promise<void> }, phase: 'P1' | 'P4'): Case {
  return {
    name: `the destination's disk is full at ${phase}`,
    play: async (run) => {
      await run.insert(500_000 + changes * 10_000, 503_999 + changes++ * 10_000);
      run.arm({ phase, action: 'hold' });
      const running = run.begin();
      await run.reached(running);
      await disk().fill();
      setTimeout(() => void disk().free(), FULL_MS).unref();
      run.goOn();
      await run.healed(running);
    },
  };
}

const firstLoad: Case = { name: 'the first load', play: (run) => run.sync() };
const engine = engineOf('postgres');

describeWith(engine.needs, 'a destination that refuses', () => {
  const lanes: Case[][] = [
    [firstLoad, raisedOnce('40001', 'a serialization failure'), raisedOnce('40P01', 'a deadlock'), raisedOnce('53100', 'a full disk'), ...allFaults([raisedOnce('55P03', 'a lock that is not free'), raisedOnce('53200', 'no memory'), raisedOnce('25006', 'a read-only server'), raisedOnce('57P01', 'a shutdown'), raisedOnce('57014', 'a cancelled statement'), raisedOnce('53300', 'too many connections'), raisedOnce('58030', 'an I/O error')])],
    [firstLoad, terminated('P6'), readOnly, lockedByOther, renamedAway, ...allFaults([terminated('P3')])],
  ];
  testLanes(lanes, async () => FaultRun.start({ engine, source: await engine.shared() }));
});

const disk = smallDisk();

describeWith({ ...engine.needs, ...(disk === null ? { env: 'TIDEMARK_FAULTS_SMALL_DISK' } : {}) }, 'a destination whose disk is full', () => {
  const room = () => disk ?? fail();
  testLanes([[firstLoad, fullDisk(room, 'P1'), fullDisk(room, 'P4')]], async () => {
    const target: PostgresDatabase = await createDatabase('target');
    await room().attach(target);
    return FaultRun.start({ engine, source: await engine.shared(), target });
  });
});

function fail(): never {
  throw new Error('no small disk');
}
