/** What a right file means. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findManifest, loadRegistry, resolveConnection } from '../../connectors/registry.ts';
import type { SourceSettings, StreamSettings } from '../../schemas/settings.ts';
import { load, oneSource, problemsOf } from './config-loading.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const KEY = Buffer.from(Array.from({ length: 32 }, (_, index) => index)).toString('base64');
const env = { DESTINATION_URL: 'postgresql://u@h/d', DB2_HQ_PASSWORD: 'pw', MOBILE_PASSWORD: 'pw', ATM_PASSWORD: 'pw', LEGACY_PASSWORD: 'pw', TIDEMARK_KEY_NATIONAL_ID: KEY };

async function sourceOf(text: string, variables: Record<string, string> = env): Promise<SourceSettings> {
  const { settings } = await load(text, { env: variables });
  return settings.sources[0] as SourceSettings;
}

async function streamOf(text: string, variables: Record<string, string> = env): Promise<StreamSettings> {
  return (await sourceOf(text, variables)).streams[0] as StreamSettings;
}

test('the example of the design means what it says', async () => {
  const { settings, warnings } = await load(readFileSync(join(ROOT, 'examples', 'bank.yaml'), 'utf8'), { env });
  expect(warnings).toEqual([]);
  expect(settings.destinationUrl).toBe('${DESTINATION_URL}');
  expect(settings.keys).toEqual({ 'national-id': { env: 'TIDEMARK_KEY_NATIONAL_ID' } });
  const hq = settings.sources[0] as SourceSettings;
  expect(hq).toMatchObject({
    id: 'hq_dar_es_salaam', kind: 'db2', priority: 'critical', enabled: true, fallback: null,
    connection: { host: 'db2-hq.bank.example', port: 50000, password: '${DB2_HQ_PASSWORD}' },
    schedule: { everySeconds: 15, cron: null, timeZone: 'Africa/Dar_es_Salaam' },
    breaker: { failures: 5, cooldownSeconds: 60, successes: 2 },
  });
  expect(hq.streams[0]).toMatchObject({ name: 'PERSONAL_DATA_INDIVIDUALS', target: null, cursor: null, key: null, include: ['*'], mode: 'upsert' });
  expect(hq.streams[1]).toMatchObject({
    target: 'bot.asset_owned_or_acquired', cursor: 'UPDATED_AT', key: ['ASSET_ID'], exclude: ['NOTES'], fetchRows: 2000, overlapSeconds: 60,
    masks: { OWNER_NAME: { kind: 'redact' }, NATIONAL_ID: { kind: 'hmac', key: 'national-id' } },
    transforms: { amount_tzs: 'round(amount * rate, 2)' },
    rules: [
      { column: 'AMOUNT', check: 'sql', args: 'amount >= 0', otherwise: 'quarantine' },
      { column: 'CURRENCY', check: 'in', args: ['TZS', 'USD', 'EUR'], otherwise: 'reject' },
    ],
    deletes: { detect: 'scan', everySeconds: 86_400, apply: 'soft' },
    retention: { column: 'CREATED_AT', keep: '7 years' }, freshnessSeconds: 60,
    futureLimitSeconds: 86_400, deleteCap: 0.1, keepGenerations: 1, badRowsMax: 0.1, drift: 'evolve', schedule: null, batchRowsMax: null,
  });
  expect(settings.sources[3]?.schedule).toEqual({ everySeconds: null, cron: '0 2 * * *', timeZone: 'Africa/Dar_es_Salaam' });
});

test('both spellings mean the same', async () => {
  const endpoints = await load(`endpoints:
  - id: "hq"
    name: "MCB Headquarters"
    db_type: "mariadb"
    connection: { host: "h", port: 3306, database: "d", user: "u", password: "\${PW}" }
    tables:
      - "T1"
      - "T2"
    poll_interval: 15
    batch_size: 500
    priority: "critical"
    enabled: true`, { env: { PW: 'x' } });
  const sources = await load(`destination: { url: "\${DESTINATION_URL}" }
sources:
  - id: hq
    name: MCB Headquarters
    kind: mysql
    connection: { host: h, port: 3306, database: d, user: u, password: "\${PW}" }
    streams: [T1, { table: T2 }]
    poll_interval: 15s
    batch_size: 500
    priority: critical`, { env: { PW: 'x', ...env } });
  expect(endpoints.settings).toEqual(sources.settings);
  expect(endpoints.warnings.map((each) => each.message)).toEqual([expect.stringContaining('DESTINATION_URL')]);
});

test('a file without destination leaves it open', async () => {
  const { settings } = await load('sources: []');
  expect(settings).toEqual({ destinationUrl: null, keys: {}, sources: [] });
});

const INHERITED: readonly (readonly [key: string, values: readonly [string, string, string], read: (stream: StreamSettings) => unknown, meant: readonly unknown[]])[] = [
  ['batch_size', ['100', '200', '300'], (stream) => stream.fetchRows, [100, 200, 300]],
  ['batch_rows', ['100', '200', '300'], (stream) => stream.batchRowsMax, [100, 200, 300]],
  ['overlap', ['1m', '2m', '3m'], (stream) => stream.overlapSeconds, [60, 120, 180]],
  ['future_limit', ['1h', '2h', '3h'], (stream) => stream.futureLimitSeconds, [3600, 7200, 10_800]],
  ['drift', ['freeze', 'ignore', 'evolve'], (stream) => stream.drift, ['freeze', 'ignore', 'evolve']],
  ['delete_cap', ['20 %', '5%', '0.3'], (stream) => stream.deleteCap, [0.2, 0.05, 0.3]],
  ['bad_rows_max', ['20 %', '5%', '0'], (stream) => stream.badRowsMax, [0.2, 0.05, 0]],
  ['keep_generations', ['0', '2', '3'], (stream) => stream.keepGenerations, [0, 2, 3]],
  ['mode', ['append', 'replace', 'upsert'], (stream) => stream.mode, ['append', 'replace', 'upsert']],
  ['priority', ['high', 'low', 'medium'], (stream) => stream.priority, ['high', 'low', 'normal']],
  ['statement_timeout', ['1m', '2m', '3m'], (stream) => stream.statementTimeoutSeconds, [60, 120, 180]],
  ['sessions_max', ['1', '2', '3'], (stream) => stream.sessionsMax, [1, 2, 3]],
  ['read_window', ['"22:00-05:00"', '01:00-02:00', 'null'], (stream) => stream.readWindow, ['22:00-05:00', '01:00-02:00', null]],
  ['freshness', ['1m', '2m', 'null'], (stream) => stream.freshnessSeconds, [60, 120, null]],
  ['breaker', ['{ failures: 2 }', '{ successes: 7 }', '{ cooldown: 5m }'], (stream) => stream.breaker, [
    { failures: 2, cooldownSeconds: 60, successes: 2 }, { failures: 2, cooldownSeconds: 60, successes: 7 }, { failures: 2, cooldownSeconds: 300, successes: 7 }]],
  ['mask', ['{ A: redact }', '{ B: date_year, A: none }', '{ C: { partial: 2 } }'], (stream) => stream.masks, [
    { A: { kind: 'redact' } }, { B: { kind: 'date_year' } }, { B: { kind: 'date_year' }, C: { kind: 'partial', keep: 2 } }]],
  ['transform', ['{ a: "1" }', '{ b: "2" }', '{ a: "3" }'], (stream) => stream.transforms, [{ a: '1' }, { a: '1', b: '2' }, { a: '3', b: '2' }]],
  ['types', ['{ x: a }', '{ y: b }', '{ x: c }'], (stream) => stream.types, [{ x: 'a' }, { x: 'a', y: 'b' }, { x: 'c', y: 'b' }]],
  ['columns', ['{ exclude: [a] }', '{ exclude: [b] }', '{ include: [c] }'], (stream) => [stream.include, stream.exclude], [[['*'], ['a']], [['*'], ['b']], [['c'], []]]],
  ['deletes', ['{ detect: scan }', '{ detect: tombstone, column: D, is: 1 }', 'null'], (stream) => stream.deletes, [
    { detect: 'scan', everySeconds: null, apply: 'soft' }, { detect: 'tombstone', column: 'D', is: '1', apply: 'soft' }, null]],
  ['retention', ['{ column: c, keep: 1 year }', '{ column: c, keep: 2 years }', 'null'], (stream) => stream.retention?.keep ?? null, ['1 years', '2 years', null]],
  ['rules', ['[{ check: "a > 0" }]', '[{ column: b, check: unique }]', '[]'], (stream) => stream.rules.length, [1, 1, 0]],
];

test.each(INHERITED)('%s: the narrowest level wins', async (key, values, read, meant) => {
  const file = (levels: number): string => `defaults: { ${key}: ${values[0]} }\n${oneSource(levels > 1 ? `${key}: ${values[1]}` : '', levels > 2 ? `[{ table: A, ${key}: ${values[2]} }]` : '[A]')}`;
  const read3 = await Promise.all([1, 2, 3].map(async (levels) => read(await streamOf(file(levels)))));
  expect(read3).toEqual(meant);
});

test('a schedule lifts an interval of a wider level, and the other way round', async () => {
  const source = await sourceOf(`defaults: { poll_interval: 30s, time_zone: Africa/Nairobi }\n${oneSource('schedule: "0 2 * * 1-5"', '[{ table: A, poll_interval: 5m }, { table: B, schedule: null }]')}`);
  expect(source.schedule).toEqual({ everySeconds: null, cron: '0 2 * * 1-5', timeZone: 'Africa/Nairobi' });
  expect(source.streams.map((stream) => stream.schedule)).toEqual([
    { everySeconds: 300, cron: null, timeZone: 'Africa/Nairobi' }, { everySeconds: null, cron: null, timeZone: 'Africa/Nairobi' }]);
});

test('without any schedule a source runs by hand', async () => {
  expect((await sourceOf(oneSource())).schedule).toEqual({ everySeconds: null, cron: null, timeZone: 'UTC' });
});

test('a disabled source does not need its streams to say so', async () => {
  const source = await sourceOf(oneSource('enabled: false'));
  expect([source.enabled, source.streams[0]?.enabled]).toEqual([false, true]);
});

describe('values from variables', () => {
  test('become numbers and truth values where those are wanted, and stay as written in connections', async () => {
    const text = oneSource('enabled: ${ON}\nbatch_size: ${ROWS:-77}\npoll_interval: ${POLL}', '[A]').replace('host: h', 'host: h, port: "${PORT}"');
    const source = await sourceOf(text, { ON: 'FALSE', POLL: '15', PORT: '3307' });
    expect([source.enabled, source.streams[0]?.fetchRows, source.schedule.everySeconds, source.connection.port]).toEqual([false, 77, 15, '${PORT}']);
    const manifest = await findManifest(source.kind);
    expect(resolveConnection(manifest, source.connection, { PORT: '3307', PW: 'p' })).toMatchObject({ port: 3307, password: 'px' });
  });

  test('stand anywhere in a value; $${ is literal', async () => {
    const stream = await streamOf(oneSource('', '[{ table: "${S}.${T:-accounts}", transform: { a: "\'$${x}\'" } }]'), { S: 'bank' });
    expect([stream.name, stream.transforms.a]).toEqual(['bank.accounts', '\'${x}\'']);
  });

  test('a missing one names itself and its path', async () => {
    const problems = await problemsOf(oneSource('name: ${NAME_OF_IT}').replace('${PW:-}x', '${PW}'), { env: { PW: '' } });
    expect(problems.map(({ code, path, line }) => ({ code, path, line }))).toEqual([
      { code: 'config.variable_missing', path: 'sources[0].connection.password', line: 5 },
      { code: 'config.variable_missing', path: 'sources[0].name', line: 7 },
    ]);
    expect(problems[0]?.message).toContain('PW');
    expect(problems[1]?.message).toContain('NAME_OF_IT');
  });

  test('may be missing in connections where they are not needed now, and nowhere else', async () => {
    const text = oneSource('fallback: { host: "${H2}", port: "${P2}", database: d, user: u, password: "${PW2}" }\nname: ${N}').replace('postgresql://u@h/d', '${DESTINATION}');
    const problems = await problemsOf(text, { requireEnv: false });
    expect(problems.map((problem) => problem.path)).toEqual(['sources[0].name']);
    const { settings } = await load(text, { requireEnv: false, env: { N: 'name' } });
    expect([settings.destinationUrl, settings.sources[0]?.fallback?.port]).toEqual(['${DESTINATION}', '${P2}']);
  });

  test('resolveConnection names the missing variable and a field that is wrong', async () => {
    const manifest = await findManifest('mysql');
    const stored = { host: 'h', port: '${PORT}', database: 'd', user: 'u', password: '${PW}' };
    expect(() => resolveConnection(manifest, stored, { PORT: '1' })).toThrow(expect.objectContaining({ code: 'config.variable_missing' }));
    expect(() => resolveConnection(manifest, stored, { PORT: 'x', PW: 'p' })).toThrow(expect.objectContaining({ code: 'config.invalid', path: 'connection.port' }));
  });
});

test('numbers that JavaScript can\'t hold are kept by their digits', async () => {
  const stream = await streamOf(oneSource('', '[{ table: A, rules: [{ column: c, check: { in: [9007199254740993, 007, 1.00000000000000000001] } }] }]'));
  expect(stream.rules[0]?.args).toEqual(['9007199254740993', '007', '1.00000000000000000001']);
});

test('anchors and merges may be used by a whole fleet', async () => {
  const fleet = Array.from({ length: 500 }, (_, index) => `  - { <<: *base, id: s${index} }`).join('\n');
  const { settings } = await load(`${oneSource().replace('- id: a', '- &base\n    id: a')}\n${fleet}`);
  expect(settings.sources).toHaveLength(501);
  expect(settings.sources[500]).toMatchObject({ id: 's499', kind: 'mysql', connection: { host: 'h' } });
});

test('each connector is found by its kind and its aliases, without its driver', async () => {
  const { manifests, find } = await loadRegistry();
  expect(manifests.length).toBeGreaterThanOrEqual(2);
  for (const manifest of manifests) for (const name of [manifest.kind, ...manifest.aliases]) expect(find(name.toUpperCase())).toBe(manifest);
  expect(find('nothing')).toBeNull();
});
