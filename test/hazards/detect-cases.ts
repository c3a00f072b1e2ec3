/**
 * Hazards that no cursor sees: syncs leave a difference, `reconcile` names exactly its keys, and a repair makes source and target equal.
 * Ids are those of the hazard catalogue.
 */
import { compareTables } from '../support/compare.ts';
import { createMariadb, quietMariadb } from '../support/mariadb.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { createDatabase, PrivatePostgres } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { describeWith } from '../support/describe-with.ts';
import { Tidemark } from '../support/tidemark.ts';
import { needsOf } from './exact-cases.ts';
import { rows, TYPES, type Product } from './hazard-case.ts';

interface DetectCase {
  readonly id: string;
  readonly title: string;
  readonly columns: string;
  readonly cursor: string;
  readonly key: string;
  /** Each is followed by a sync. */
  readonly steps: readonly [string, string];
  /** Sources whose syncs do not see it: those of the others read by what transactions have changed, or read such a table whole. */
  readonly unseenBy: readonly Product[];
}

interface Line {
  readonly stream: string;
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  readonly remaining: number;
  readonly repaired: number;
}

const DAY = '2024-10-27';
const BY_TIME = { columns: 'id bigint PRIMARY KEY, at {time} NOT NULL, v varchar(60)', cursor: 'at', key: 'id' } as const;

const CASES: readonly DetectCase[] = [
  {
    ...BY_TIME, id: 'w09', title: 'the cursor goes backwards',
    steps: [`INSERT INTO w09 VALUES ${rows([1, `${DAY} 08:00:00`, 'a'], [2, `${DAY} 09:00:00`, 'b'], [3, `${DAY} 10:00:00`, 'c'])}`,
      `INSERT INTO w09 VALUES ${rows([4, `${DAY} 07:00:00`, 'by a slow clock'])}; UPDATE w09 SET v = 'set back', at = '${DAY} 06:00:00' WHERE id = 1`],
    unseenBy: ['mariadb'],
  },
  {
    ...BY_TIME, id: 'w13', title: 'the hour that comes twice when summer time ends', columns: 'id bigint PRIMARY KEY, at {local} NOT NULL, v varchar(60)',
    steps: [`INSERT INTO w13 VALUES ${rows([1, `${DAY} 02:20:00`, 'summer'], [2, `${DAY} 02:50:00`, 'summer'])}`,
      `INSERT INTO w13 VALUES ${rows([3, `${DAY} 02:10:00`, 'winter'])}; UPDATE w13 SET v = 'winter', at = '${DAY} 02:30:00' WHERE id = 1`],
    unseenBy: ['mariadb'],
  },
  {
    ...BY_TIME, id: 'w16', title: 'a delete, and a delete with the key inserted again under an older cursor',
    steps: [`INSERT INTO w16 VALUES ${rows([1, `${DAY} 08:00:00`, 'a'], [2, `${DAY} 08:10:00`, 'b'], [3, `${DAY} 08:20:00`, 'c'], [4, `${DAY} 09:00:00`, 'd'])}`,
      `DELETE FROM w16 WHERE id IN (2, 3); INSERT INTO w16 VALUES ${rows([3, `${DAY} 07:00:00`, 'again'])}`],
    unseenBy: ['postgres', 'mariadb'],
  },
  {
    ...BY_TIME, id: 'w17', title: 'a changed primary key',
    steps: [`INSERT INTO w17 VALUES ${rows([1, `${DAY} 08:00:00`, 'a'], [2, `${DAY} 09:00:00`, 'b'])}`, 'UPDATE w17 SET id = 101 WHERE id = 1'],
    unseenBy: ['postgres', 'mariadb'],
  },
  {
    ...BY_TIME, id: 'w18', title: 'emptied and filled anew below the watermark',
    steps: [`INSERT INTO w18 VALUES ${rows(...[1, 2, 3, 4, 5, 6].map((id) => [id, `${DAY} 10:00:0${id}`, `old ${id}`] as const))}`,
      `TRUNCATE TABLE w18; INSERT INTO w18 VALUES ${rows(...[1, 2, 3, 4].map((id) => [id, `${DAY} 05:00:0${id}`, `new ${id}`] as const))}`],
    unseenBy: ['postgres', 'mariadb'],
  },
  {
    ...BY_TIME, id: 'w25', title: 'a column that is added with a default',
    steps: [`INSERT INTO w25 VALUES ${rows([1, `${DAY} 08:00:00`, 'a'], [2, `${DAY} 09:00:00`, 'b'], [3, `${DAY} 10:00:00`, 'c'])}`,
      `ALTER TABLE w25 ADD COLUMN kind varchar(10) DEFAULT 'x'; INSERT INTO w25 VALUES (4, '${DAY} 11:00:00', 'd', 'y')`],
    unseenBy: ['postgres', 'mariadb'],
  },
  {
    id: 'w26', title: 'a text cursor whose new values sort below', columns: 'code {text} PRIMARY KEY, v varchar(60)', cursor: 'code', key: 'code',
    steps: ["INSERT INTO w26 VALUES ('m', '1'), ('n', '2')", "INSERT INTO w26 VALUES ('a', '3'), ('B', '4'), ('o', '5')"],
    unseenBy: [],
  },
];

function columnsOf(columns: string, product: Product): string {
  return columns.replaceAll(/\{(\w+)\}/g, (_, name: string) => (name === 'local' ? (product === 'postgres' ? 'timestamp(6)' : 'datetime(6)') : (TYPES[product][name] ?? name)));
}

export function testDetectCases(product: Product): void {
  describeWith(needsOf(product), `hazards that reconcile detects, ${product}`, () => {
    let source: PostgresDatabase | MariadbDatabase;
    let target: PostgresDatabase;
    let tidemark: Tidemark;
    let found: readonly Line[];

    const reconcile = async (...args: string[]) => {
      const { json, stdout, stderr } = await tidemark.run('reconcile', 'play', ...args, '--json');
      if (json?.streams === undefined) throw new Error(`${stdout}\n${stderr}\n${tidemark.workerTails()}`);
      return { ok: json.ok, lines: json.streams as unknown as readonly Line[] };
    };
    /** By a reader that is not Tidemark's. */
    const differingKeys = async ({ id, key }: DetectCase) => {
      const { differences } = await compareTables(source, id, target, `play.${id}`, [key]);
      const keys = (pattern: RegExp) => [...new Set(differences.flatMap((line) => pattern.exec(line)?.[1] ?? []))].sort();
      return { missing: keys(/^missing in the target: (.*)$/), extra: keys(/^only in the target: (.*)$/), different: keys(/^(\w+): \w+ is /) };
    };
    const named = async ({ id, key }: DetectCase, kind: string) =>
      (await target.query('SELECT key->>$3 AS key FROM tidemark.difference WHERE stream = $1 AND kind = $2 AND settled_at IS NOT NULL', [id, kind, key])).map((row) => row['key']).sort();

    beforeAll(async () => {
      [source, target] = [product === 'postgres' ? await (await PrivatePostgres.quiet()).createDatabase('play') : await createMariadb('play', await quietMariadb()), await createDatabase('target')];
      for (const { id, columns } of CASES) await source.query(`CREATE TABLE ${id} (${columnsOf(columns, product)})`);
      const streams = CASES.map(({ id, cursor, key }) => `      - { table: ${id}, cursor: ${cursor}, key: [${key}] }`).join('\n');
      tidemark = await Tidemark.start(`destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d, overlap: 0s }\nsources:\n  - id: play\n    kind: ${product}\n    connection: ${source.connection}\n    streams:\n${streams}\n`, { ...source.secrets, DESTINATION_URL: target.url });
      await tidemark.apply();
      for (const step of [0, 1] as const) {
        for (const { steps } of CASES) for (const statement of steps[step].split('; ')) await source.query(statement);
        // Twice: after a build a source that can tell its open transactions reaches back over them once more, and would see the next step whole.
        for (let syncs = 0; syncs < 2; syncs += 1) await tidemark.run('sync', 'play', '--json');
      }
      found = (await reconcile()).lines;
    });

    test.each(CASES.map((hazard) => [hazard.id, hazard.title, hazard] as const))('%s: %s: exactly the keys that differ are named', async (id, _title, hazard) => {
      const differs = await differingKeys(hazard);
      expect(Object.values(differs).flat().length > 0 || !hazard.unseenBy.includes(product)).toBe(true);
      expect({ missing: await named(hazard, 'missing'), extra: await named(hazard, 'extra'), different: await named(hazard, 'different') }).toEqual(differs);
      expect(found.find(({ stream }) => stream === id)).toMatchObject({ missing: differs.missing.length, extra: differs.extra.length, different: differs.different.length });
    });

    test('a repair makes all of them equal, by a reader that is not Tidemark’s', async () => {
      const { ok, lines } = await reconcile('--repair');
      expect({ ok, remaining: lines.map(({ stream, remaining }) => [stream, remaining]) }).toEqual({ ok: true, remaining: CASES.map(({ id }) => [id, 0]) });
      for (const { id, key } of CASES) expect([id, (await compareTables(source, id, target, `play.${id}`, [key])).differences]).toEqual([id, []]);
      expect(await target.value('SELECT count(*) FROM tidemark.ledger WHERE read <> written + unchanged + rejected + superseded + deleted')).toBe('0');
      expect((await reconcile()).ok).toBe(true);
    });
  });
}
