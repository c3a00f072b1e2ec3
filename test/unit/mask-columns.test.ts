/** Which masks a column can have, and what its target becomes. */
import { makeStreamPlan } from '../../pipeline/stream-plan.ts';
import type { Capabilities } from '../../connectors/connector.ts';
import { loadSettingsFromText } from '../../control/configuration/load.ts';
import type { TableShape } from '../../schemas/table.ts';

const column = (name: string, pgType: string, order: 'time' | 'number' | 'text' | 'none' = 'none') => ({ name, targetName: name.toLowerCase(), nativeType: pgType, pgType, nullable: true, order });
const table: TableShape = {
  schema: 'public', name: 'PERSON', kind: 'table', identity: '1', key: ['ID'], indexedColumns: ['ID'], rowEstimate: 1, bytesEstimate: 1,
  columns: [column('ID', 'bigint', 'number'), column('NIDA', 'character varying(20)', 'text'), column('BORN', 'date', 'time'), column('CHANGED', 'timestamp without time zone', 'time')],
};
const capabilities: Capabilities = { foldsToUpper: true, formats: ['copy-text', 'copy-binary'], ownQueue: false };
const FILE = (stream: string) => `keys: { k: { env: K }, unused: { env: U } }\nsources:\n  - id: s\n    kind: postgres\n    connection: { host: h, database: d, user: u }\n    streams: [{ table: PERSON, cursor: CHANGED${stream} }]\n`;

async function planOf(stream: string) {
  const { settings } = await loadSettingsFromText('f.yaml', FILE(stream), { env: {}, requireEnv: false });
  return { plan: makeStreamPlan('s', settings.sources[0]!.streams[0]!, table, capabilities), source: settings.sources[0]! };
}

test('masked columns change their type, dropped ones are not read, and rows come as text where a masked column is none', async () => {
  const { plan, source } = await planOf(', mask: { nida: { hmac: k }, BORN: date_year }');
  expect(plan.columns).toEqual([{ name: 'id', type: 'bigint' }, { name: 'nida', type: 'text' }, { name: 'born', type: 'date' }, { name: 'changed', type: 'timestamp without time zone' }]);
  expect(plan.format).toBe('copy-text');
  expect(plan.notes.join('\n')).toMatch(/NIDA: masked \(hmac with k\), kept as text/);
  expect(source.keys).toEqual({ k: { env: 'K' } });
  const dropped = await planOf(', mask: { NIDA: drop, BORN: date_year }');
  expect(dropped.plan.read.columns).toEqual(['ID', 'BORN', 'CHANGED']);
  expect((await planOf(', mask: { NIDA: { hmac: k } }')).plan.format).toBe('copy-binary');
  expect((await planOf(', mask: { NIDA: { encrypt: k } }')).plan.format).toBe('copy-text');
  expect(dropped.plan.masks?.columns.map(({ index, name }) => [index, name])).toEqual([[1, 'BORN']]);
  expect(dropped.source.keys).toBeUndefined();
});

test('a masked key hides the positions', async () => {
  expect((await planOf(', mask: { ID: { hmac: k } }')).plan).toMatchObject({ key: ['id'], masks: { positionKey: 'k' } });
  expect((await planOf(', mask: { NIDA: { hmac: k } }')).plan).toMatchObject({ masks: { positionKey: null } });
});

test.each([
  ['mask: { CHANGED: redact }', 'config.invalid', /cursor/],
  ['mask: { CHANGED: { hmac: k } }', 'config.invalid', /cursor/],
  ['mask: { ID: redact }', 'config.invalid', /different keys equal/],
  ['mask: { ID: drop }', 'config.invalid', /different keys equal/],
  ['mask: { NIDA: date_year }', 'config.invalid', /needs a date/],
  ['mask: { NIDAA: redact }', 'source.column_missing', /NIDAA/],
] as const)('%s is refused', async (mask, code, message) => {
  await expect(planOf(`, ${mask}`)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
});
