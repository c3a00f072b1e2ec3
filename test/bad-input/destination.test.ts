/** A destination or a Temporal that is not there: exit 3, its own code, a hint. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { freePort } from '../support/processes.ts';
import { sharedTemporal } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';
import { errorOf, expectClear, expectQuiet, NO_HOST } from './clear-error.ts';

const SECRET = 'n0t-the-password';

const configuration = (database: PostgresDatabase) => `destination:\n  url: \${DESTINATION_URL}\nsources:\n  - id: a\n    kind: postgres\n    connection: ${database.connection}\n    streams: [t]\n`;

describeWith({ postgres: true, temporal: true }, 'what it needs is not there', () => {
  let database: PostgresDatabase;
  let address: string;
  beforeAll(async () => {
    database = await createDatabase('a');
    ({ address } = await sharedTemporal());
  });

  const wrong: readonly (readonly [string, (url: URL) => Promise<void> | void])[] = [
    ['target.auth_failed', (url) => void (url.password = SECRET)],
    ['target.unreachable', async (url) => void (url.port = String(await freePort()))],
    ['target.host_unknown', (url) => void (url.hostname = NO_HOST)],
    ['target.database_missing', (url) => void (url.pathname = '/no_such_database')],
  ];

  test.each(wrong)('%s', async (code, change) => {
    const url = new URL(database.url);
    await change(url);
    const tidemark = new Tidemark(configuration(database), { ...database.secrets, TEMPORAL_ADDRESS: address, DESTINATION_URL: url.href });
    for (const command of [['apply', '--yes'], ['status']]) {
      const result = await tidemark.run(...command, '--json');
      expect({ command, exit: result.code, code: errorOf(result).code }).toEqual({ command, exit: 3, code });
      expectClear(errorOf(result), [SECRET, database.server.password]);
      expectQuiet(result, [SECRET, database.server.password]);
    }
  });

  test('no Temporal: exit 3 and the two ways to get one', async () => {
    const tidemark = new Tidemark(configuration(database), { ...database.secrets, TEMPORAL_ADDRESS: `127.0.0.1:${await freePort()}`, DESTINATION_URL: database.url });
    const result = await tidemark.run('sync', 'a', '--json');
    expect({ exit: result.code, code: errorOf(result).code }).toEqual({ exit: 3, code: 'temporal.unreachable' });
    expect(errorOf(result).hint).toMatch(/TEMPORAL_ADDRESS/);
    expect(errorOf(result).hint).toMatch(/tidemark up/);
  });

  test('a source that nobody registered', async () => {
    const tidemark = await Tidemark.start(configuration(database), { ...database.secrets, DESTINATION_URL: (await createDatabase('b')).url });
    await tidemark.apply();
    const result = await tidemark.run('sync', 'nobody', '--json');
    expect({ exit: result.code, code: errorOf(result).code }).toEqual({ exit: 2, code: 'usage.unknown_source' });
    expectClear(errorOf(result), []);
  });
});
