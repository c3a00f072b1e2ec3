/** The real driver has the shape that the connector counts on, and its own decoders keep every digit. */
import oracledb from 'oracledb';
import fc from 'fast-check';
import { exactNumbers } from '../../connectors/oracle/client.ts';
import { conversionOf } from '../../connectors/oracle/values.ts';
import type { OracleDbType } from '../../connectors/oracle/driver.ts';

interface NumberBuffer {
  buf: Buffer;
  pos: number;
  writeOracleNumber(text: string, withLength: boolean): void;
  parseOracleNumber(bytes: Buffer): string;
}

interface Metadata {
  name: string;
  dbType: OracleDbType;
  fetchType?: OracleDbType;
  converter?: unknown;
}

// The driver's own modules, loaded as it loads them.
const { GrowableBuffer } = jest.requireActual<{ GrowableBuffer: new () => NumberBuffer }>('oracledb/lib/impl/datahandlers/buffer.js');
const ResultSetImpl = jest.requireActual<new () => { _determineFetchType(metadata: Metadata, options: object, all: Metadata[]): void }>('oracledb/lib/impl/resultset.js');
const driver = oracledb as typeof oracledb & Record<string, OracleDbType> & { readonly Connection: { prototype: object }; readonly Lob: { prototype: object }; readonly ResultSet: { prototype: object } };

const number = conversionOf({ name: 'N', targetName: 'n', nativeType: 'NUMBER', pgType: 'numeric', nullable: true, order: 'number' });

function throughTheWire(text: string): string {
  const buffer = new GrowableBuffer();
  buffer.writeOracleNumber(text, false);
  return number(buffer.parseOracleNumber(buffer.buf.subarray(0, buffer.pos))).text;
}

describe('the oracle driver', () => {
  it('has what the connector uses', () => {
    for (const name of ['DB_TYPE_VARCHAR', 'DB_TYPE_NVARCHAR', 'DB_TYPE_NUMBER'] as const) expect(driver[name]).toEqual(expect.objectContaining({ name }));
    expect([driver.OUT_FORMAT_ARRAY, driver.BIND_IN]).toEqual([expect.any(Number), expect.any(Number)]);
    for (const method of ['execute', 'rollback', 'break', 'close']) expect(driver.Connection.prototype).toHaveProperty(method, expect.any(Function));
    for (const property of ['callTimeout', 'module', 'action', 'clientInfo', 'oracleServerVersionString']) expect(Object.getOwnPropertyNames(driver.Connection.prototype)).toContain(property);
    for (const method of ['getData', 'destroy', 'length']) expect(method in driver.Lob.prototype).toBe(true);
    for (const method of ['getRows', 'close']) expect(driver.ResultSet.prototype).toHaveProperty(method, expect.any(Function));
  });

  it('is told to hand NUMBER over as text, and nothing else', () => {
    const decide = (dbType: OracleDbType): Metadata => {
      const metadata: Metadata = { name: 'C0', dbType };
      new ResultSetImpl()._determineFetchType(metadata, { fetchTypeHandler: exactNumbers(driver) }, [metadata]);
      return metadata;
    };
    const asText = decide(driver.DB_TYPE_NUMBER);
    expect([asText.fetchType, asText.converter]).toEqual([driver.DB_TYPE_VARCHAR, undefined]);
    for (const name of ['DB_TYPE_VARCHAR', 'DB_TYPE_CHAR', 'DB_TYPE_NVARCHAR', 'DB_TYPE_RAW', 'DB_TYPE_CLOB', 'DB_TYPE_BLOB', 'DB_TYPE_ROWID', 'DB_TYPE_BINARY_DOUBLE', 'DB_TYPE_BOOLEAN', 'DB_TYPE_LONG'] as const) {
      expect(decide(driver[name] as OracleDbType).fetchType).toBe(driver[name]);
    }
  });

  it.each([
    ['0', '0'], ['1', '1'], ['-1', '-1'], ['0.1', '0.1'], ['-0.001', '-0.001'], ['1.10', '1.1'], ['9007199254740993', '9007199254740993'],
    ['99999999999999999999999999999999999999', '99999999999999999999999999999999999999'], ['-1234567890123456789012345678.9012345678', '-1234567890123456789012345678.9012345678'],
    ['1e-130', `0.${'0'.repeat(129)}1`], ['9.9e125', `99${'0'.repeat(124)}`], ['99999000', '99999000'],
  ])('decodes NUMBER %s', (text, expected) => expect(throughTheWire(text)).toBe(expected));

  it('decodes every NUMBER of up to 38 digits', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.bigInt({ min: 1n, max: 10n ** 38n - 1n }), fc.integer({ min: 0, max: 60 }), (negative, digits, scale) => {
        const padded = digits.toString().padStart(scale + 1, '0');
        const whole = padded.slice(0, padded.length - scale);
        const fraction = padded.slice(padded.length - scale).replace(/0+$/, '');
        const text = `${negative ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
        expect(throughTheWire(text)).toBe(text);
      }),
    );
  });

  it("refuses Oracle's infinities", () => {
    const buffer = new GrowableBuffer();
    for (const bytes of [Buffer.from([255, 101]), Buffer.from([0])]) expect(number(buffer.parseOracleNumber(bytes)).defect).toBe('number.infinite');
  });
});
