/** Hazards of transactions that are open while a sync reads. Ids are those of the hazard catalogue. */
import { rows } from './hazard-case.ts';
import type { HazardCase, OpenTransaction } from './hazard-case.ts';

const BY_TIME = { columns: 'id bigint PRIMARY KEY, at {time}, v varchar(60)', cursor: 'at', key: ['id'], opensTransactions: true } as const;
const DAY = '2024-01-02';

/** The transactions that a case holds open between its steps. */
const held = new Map<string, OpenTransaction>();

function take(id: string): OpenTransaction {
  const transaction = held.get(id);
  if (transaction === undefined) throw new Error(`${id} holds no transaction`);
  held.delete(id);
  return transaction;
}

export const OPEN_CASES: readonly HazardCase[] = [
  {
    ...BY_TIME,
    id: 'W01',
    title: 'a long transaction commits late with an older timestamp',
    steps: [
      async (source) => {
        await source.run(`INSERT INTO w01 VALUES ${rows([1, `${DAY} 08:00:00`, 'a'], [2, `${DAY} 08:10:00`, 'to be updated late'])}`);
        const late = await source.begin();
        await late.run(`INSERT INTO w01 VALUES ${rows([3, `${DAY} 09:00:00`, 'inserted late'])}`);
        await late.run(`UPDATE w01 SET v = 'updated late', at = '${DAY} 09:00:01' WHERE id = 2`);
        await source.run(`INSERT INTO w01 VALUES ${rows([4, `${DAY} 10:00:00`, 'committed at once'])}`);
        held.set('W01', late);
      },
      () => take('W01').commit(),
    ],
  },
  {
    ...BY_TIME,
    id: 'W01b',
    title: 'a transaction stays open over two syncs',
    steps: [
      async (source) => {
        await source.run(`INSERT INTO w01b VALUES ${rows([1, `${DAY} 08:00:00`, 'a'])}`);
        const late = await source.begin();
        await late.run(`INSERT INTO w01b VALUES ${rows([2, `${DAY} 09:00:00`, 'late'])}`);
        held.set('W01b', late);
      },
      ({ run }) => run(`INSERT INTO w01b VALUES ${rows([3, `${DAY} 12:00:00`, 'between'])}`),
      () => take('W01b').commit(),
    ],
  },
  {
    id: 'W02',
    title: 'a lower number of a sequence commits after a higher one',
    columns: 'id {serial} PRIMARY KEY, v varchar(60)',
    cursor: 'id',
    key: ['id'],
    opensTransactions: true,
    steps: [
      async (source) => {
        await source.run("INSERT INTO w02 (v) VALUES ('a')");
        const late = await source.begin();
        await late.run("INSERT INTO w02 (v) VALUES ('lower, late')");
        await source.run("INSERT INTO w02 (v) VALUES ('higher, at once')");
        held.set('W02', late);
      },
      () => take('W02').commit(),
    ],
  },
  {
    ...BY_TIME,
    id: 'W12',
    title: 'a commit lands behind the place that is being read',
    batchRows: 50,
    steps: [
      ({ run }) => run(`INSERT INTO w12 VALUES ${rows([0, `${DAY} 08:00:00`, 'first'])}`),
      async (source) => {
        await source.run(`INSERT INTO w12 VALUES ${rows(...Array.from({ length: 900 }, (_, id) => [id + 1, `${DAY} 09:00:00.${String(id + 1).padStart(6, '0')}`, 'n'] as const))}`);
        const late = await source.begin();
        await late.run(`INSERT INTO w12 VALUES ${rows([5000, `${DAY} 09:00:00.000002`, 'behind'])}`);
        held.set('W12', late);
      },
    ],
    during: { step: 1, change: () => take('W12').commit() },
  },
  {
    ...BY_TIME,
    id: 'W24',
    title: 'rolled-back rows never arrive',
    steps: [
      async (source) => {
        await source.run(`INSERT INTO w24 VALUES ${rows([1, `${DAY} 08:00:00`, 'a'])}`);
        const undone = await source.begin();
        await undone.run(`INSERT INTO w24 VALUES ${rows([2, `${DAY} 09:00:00`, 'undone'])}`);
        await undone.run("UPDATE w24 SET v = 'undone' WHERE id = 1");
        held.set('W24', undone);
      },
      async (source) => {
        await take('W24').rollback();
        await source.run(`INSERT INTO w24 VALUES ${rows([3, `${DAY} 10:00:00`, 'stays'])}`);
      },
    ],
  },
];
