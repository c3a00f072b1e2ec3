/** Hazards without a transaction that stays open over a sync: the cursor's values are the trouble. Ids are those of the hazard catalogue. */
import { rows } from './hazard-case.ts';
import type { HazardCase } from './hazard-case.ts';

const BY_TIME = { columns: 'id bigint PRIMARY KEY, at {time}, v varchar(60)', cursor: 'at', key: ['id'] } as const;
const DAY = '2024-01-02';

const sequence = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, index) => first + index);

const CHARACTERS = ["a\\\\b", "it''s", '', 'A', 'a', 'Zürich', 'zurich', '日本', '%_', '"q"', '🏦', 'ß', 'e\u0301'];

export const QUIET_CASES: readonly HazardCase[] = [
  {
    ...BY_TIME,
    id: 'W03',
    title: 'equal timestamps straddle the edge of a batch',
    batchRows: 4,
    steps: [
      ({ run }) => run(`INSERT INTO w03 VALUES ${rows([1, `${DAY} 08:00:00`, 'first'])}`),
      ({ run }) => run(`INSERT INTO w03 VALUES ${rows(...sequence(2, 14).map((id) => [id, `${DAY} 09:00:00`, `n${id}`] as const))}`),
    ],
  },
  {
    ...BY_TIME,
    id: 'W04',
    title: 'a new row and an updated one with the time of the stored watermark',
    steps: [
      ({ run }) => run(`INSERT INTO w04 VALUES ${rows([5, `${DAY} 08:00:00`, 'old'], [6, `${DAY} 09:00:00`, 'at the mark'])}`),
      ({ run }) => run(`INSERT INTO w04 VALUES ${rows([1, `${DAY} 09:00:00`, 'new, lower key'], [9, `${DAY} 09:00:00`, 'new, higher key'])}; UPDATE w04 SET v = 'moved to the mark', at = '${DAY} 09:00:00' WHERE id = 5`),
    ],
  },
  {
    ...BY_TIME,
    id: 'W05',
    title: 'microseconds within one millisecond, in batches',
    batchRows: 4,
    steps: [
      ({ run }) => run(`INSERT INTO w05 VALUES ${rows(...sequence(1, 9).map((id) => [id, `${DAY} 09:00:00.12300${id}`, `n${id}`] as const))}`),
      ({ run }) => run(`INSERT INTO w05 VALUES ${rows(...sequence(10, 30).map((id) => [id, `${DAY} 09:00:00.1230${id}`, `n${id}`] as const))}`),
    ],
  },
  {
    ...BY_TIME,
    id: 'W06',
    title: 'a fraction that rounds up past rows not yet read',
    steps: [
      ({ run }) => run(`INSERT INTO w06 VALUES ${rows([1, `${DAY} 09:00:00.999500`, 'rounds up'])}`),
      ({ run }) => run(`INSERT INTO w06 VALUES ${rows([2, `${DAY} 09:00:00.999501`, 'n'], [3, `${DAY} 09:00:00.999999`, 'n'], [4, `${DAY} 09:00:01.000000`, 'n'])}`),
    ],
  },
  {
    ...BY_TIME,
    id: 'W07',
    title: 'NULL cursors: at the first run, later filled, later cleared, changed, later inserted',
    steps: [
      ({ run }) => run(`INSERT INTO w07 VALUES ${rows([1, null, 'to be filled'], [2, `${DAY} 09:00:00`, 'to be cleared'], [3, null, 'stays'], [4, `${DAY} 10:00:00`, 'stays'])}`),
      ({ run }) => run(`UPDATE w07 SET at = '${DAY} 11:00:00', v = 'filled' WHERE id = 1; UPDATE w07 SET at = NULL, v = 'cleared' WHERE id = 2; INSERT INTO w07 VALUES ${rows([5, null, 'inserted'])}`),
      ({ run }) => run("UPDATE w07 SET v = 'changed' WHERE id IN (3, 5)"),
    ],
  },
  {
    ...BY_TIME,
    id: 'W08',
    title: 'rows not yet read get a newer cursor while batches are read',
    batchRows: 50,
    steps: [
      ({ run }) => run(`INSERT INTO w08 VALUES ${rows([1, `${DAY} 08:00:00`, 'first'])}`),
      ({ run }) => run(`INSERT INTO w08 VALUES ${rows(...sequence(2, 900).map((id) => [id, `${DAY} 09:00:00.${String(id).padStart(6, '0')}`, `n${id}`] as const))}`),
    ],
    during: { step: 1, change: ({ run }) => run(`UPDATE w08 SET at = '${DAY} 10:00:00', v = 'moved' WHERE id IN (850, 860, 900) OR id = 3`) },
  },
  {
    ...BY_TIME,
    id: 'W10',
    title: 'one row far in the future does not poison the watermark',
    steps: [
      ({ run }) => run(`INSERT INTO w10 VALUES ${rows([1, `${DAY} 09:00:00`, 'now'], [2, '2999-01-01 00:00:00', 'far'])}`),
      ({ run }) => run(`INSERT INTO w10 VALUES ${rows([3, `${DAY} 10:00:00`, 'after'])}; UPDATE w10 SET v = 'far, changed' WHERE id = 2`),
    ],
  },
  {
    ...BY_TIME,
    id: 'W11',
    title: 'infinity as a cursor value',
    products: ['postgres'],
    steps: [
      ({ run }) => run(`INSERT INTO w11 VALUES ${rows([1, `${DAY} 09:00:00`, 'now'], [2, 'infinity', 'up'], [3, '-infinity', 'down'])}`),
      ({ run }) => run(`INSERT INTO w11 VALUES ${rows([4, `${DAY} 10:00:00`, 'after'], [5, 'infinity', 'up, later'])}; UPDATE w11 SET v = 'changed' WHERE id = 2`),
    ],
  },
  {
    id: 'W14',
    title: 'batches by a text key: backslash, quote, empty, case, non-ASCII',
    columns: 'k {text} PRIMARY KEY, at {time} NOT NULL, v varchar(60)',
    cursor: 'at',
    key: ['k'],
    batchRows: 3,
    steps: [
      ({ run, product }) => run(`INSERT INTO w14 VALUES ${CHARACTERS.map((key) => `('${escaped(key, product)}', '${DAY} 09:00:00', 'v')`).join(', ')}`),
      ({ run, product }) => run(`INSERT INTO w14 VALUES ${CHARACTERS.map((key) => `('x${escaped(key, product)}', '${DAY} 10:00:00', 'v')`).join(', ')}`),
    ],
  },
  {
    id: 'W15',
    title: 'an integer cursor above 2^53',
    columns: 'id bigint PRIMARY KEY, n bigint NOT NULL, v varchar(60)',
    cursor: 'n',
    key: ['id'],
    batchRows: 2,
    steps: [
      ({ run }) => run("INSERT INTO w15 VALUES (1, 9007199254740992, 'a'), (2, 9007199254740993, 'b'), (3, 9007199254740994, 'c')"),
      ({ run }) => run("INSERT INTO w15 VALUES (4, 9007199254740994, 'd'), (5, 9007199254740995, 'e'), (6, 9223372036854775807, 'f')"),
    ],
  },
  {
    ...BY_TIME,
    id: 'W19',
    title: 'an empty first run, then rows at and before the epoch',
    steps: [
      async () => undefined,
      ({ run }) => run(`INSERT INTO w19 VALUES ${rows([1, '1970-01-01 00:00:00', 'epoch'], [2, '1969-12-31 23:59:59.999999', 'before'])}`),
    ],
  },
  {
    ...BY_TIME,
    id: 'W20',
    title: 'runs without new rows neither move nor reset the watermark',
    steps: [
      ({ run }) => run(`INSERT INTO w20 VALUES ${rows([1, `${DAY} 09:00:00.000001`, 'a'], [2, `${DAY} 09:00:00.000002`, 'b'])}`),
      async () => undefined,
      async () => undefined,
    ],
  },
  {
    id: 'W21',
    title: 'a cursor of days: rows inserted later the same day',
    columns: 'id bigint PRIMARY KEY, at date NOT NULL, v varchar(60)',
    cursor: 'at',
    key: ['id'],
    steps: [
      ({ run }) => run(`INSERT INTO w21 VALUES ${rows([5, '2024-01-01', 'a'], [6, DAY, 'b'])}`),
      ({ run }) => run(`INSERT INTO w21 VALUES ${rows([1, DAY, 'same day'], [9, DAY, 'same day'])}`),
    ],
  },
  {
    id: 'W22',
    title: 'numbers in a text cursor: 9, then 10',
    columns: 'id bigint PRIMARY KEY, n {text} NOT NULL, v varchar(60)',
    cursor: 'n',
    key: ['id'],
    mayRefuse: { mariadb: 'source.cursor_unusable' },
    steps: [({ run }) => run("INSERT INTO w22 VALUES (1, '8', 'a'), (2, '9', 'b')"), ({ run }) => run("INSERT INTO w22 VALUES (3, '10', 'c')")],
  },
  {
    ...BY_TIME,
    id: 'W23',
    title: 'thousands of rows on one cursor value',
    batchRows: 1000,
    steps: [
      ({ run }) => run(`INSERT INTO w23 VALUES ${rows(...sequence(1, 10).map((id) => [id, `${DAY} 08:00:00`, 'n'] as const))}`),
      ({ run }) => run(`INSERT INTO w23 VALUES ${rows(...sequence(11, 4513).map((id) => [id, `${DAY} 09:00:00`, 'n'] as const))}`),
      ({ run }) => run(`INSERT INTO w23 VALUES ${rows([0, `${DAY} 09:00:00`, 'lower'], [9999, `${DAY} 09:00:00`, 'higher'])}`),
    ],
  },
  {
    ...BY_TIME,
    id: 'W27',
    title: 'an update and an insert with the transaction time that is the stored watermark',
    steps: [
      ({ run }) => run(`INSERT INTO w27 VALUES ${rows([1, `${DAY} 09:00:00.123456`, 'a'], [2, `${DAY} 09:00:00.123456`, 'b'])}`),
      ({ run }) => run(`UPDATE w27 SET v = 'changed at the same time' WHERE id = 1; INSERT INTO w27 VALUES ${rows([3, `${DAY} 09:00:00.123456`, 'c'])}`),
    ],
  },
];

/** CHARACTERS is written for MariaDB, where a backslash escapes; PostgreSQL takes it as it is. */
function escaped(text: string, product: 'postgres' | 'mariadb'): string {
  return product === 'mariadb' ? text : text.replaceAll('\\\\', '\\');
}
