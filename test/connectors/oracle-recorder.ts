/** A driver that writes down what it is sent and answers from a list. */
import type { OracleConnection, OracleConnectionAttributes, OracleDbType, OracleDriver, OracleExecuteOptions, OracleRow } from '../../connectors/oracle/driver.ts';

export interface SentStatement {
  readonly sql: string;
  /** Name → text, `N` before a value of the national character set. */
  readonly binds: Readonly<Record<string, string>>;
  readonly options: OracleExecuteOptions;
}

/** The first pattern that matches a statement gives its rows, or the error it fails with. */
export type Answer = readonly [RegExp, readonly OracleRow[] | Error];

const type = (num: number, name: string): OracleDbType => ({ num, name });

export class OracleRecorder implements OracleDriver {
  readonly OUT_FORMAT_ARRAY = 4001;
  readonly BIND_IN = 3001;
  readonly DB_TYPE_VARCHAR = type(2001, 'DB_TYPE_VARCHAR');
  readonly DB_TYPE_NVARCHAR = type(2002, 'DB_TYPE_NVARCHAR');
  readonly DB_TYPE_NUMBER = type(2010, 'DB_TYPE_NUMBER');
  readonly sent: SentStatement[] = [];
  readonly attributes: OracleConnectionAttributes[] = [];
  /** Rows asked for by each fetch. */
  readonly fetches: number[] = [];
  readonly connections: { module: string; action: string; clientInfo: string; callTimeout: number; closed: boolean }[] = [];
  readonly #answers: readonly Answer[];

  constructor(answers: readonly Answer[] = []) {
    this.#answers = answers;
  }

  /** Statements after those that prepare a session. */
  get statements(): readonly string[] {
    return this.sent.map(({ sql }) => sql).filter((sql) => !sql.startsWith('ALTER SESSION'));
  }

  async getConnection(attributes: OracleConnectionAttributes): Promise<OracleConnection> {
    this.attributes.push(attributes);
    const facts = { module: '', action: '', clientInfo: '', callTimeout: 0, closed: false };
    this.connections.push(facts);
    return Object.assign(facts, {
      oracleServerVersionString: '19.0.0.0.0',
      execute: async (sql: string, binds: Parameters<OracleConnection['execute']>[1], options: OracleExecuteOptions) => {
        const texts = Object.entries(binds).map(([name, bind]) => [name, `${bind.type === this.DB_TYPE_NVARCHAR ? 'N' : ''}${bind.val}`]);
        this.sent.push({ sql, binds: Object.fromEntries(texts) as Record<string, string>, options });
        const answer = this.#answers.find(([pattern]) => pattern.test(sql))?.[1] ?? [];
        if (answer instanceof Error) throw answer;
        const rows = [...answer];
        const getRows = async (count: number): Promise<OracleRow[]> => {
          this.fetches.push(count);
          return rows.splice(0, count);
        };
        return options.resultSet ? { resultSet: { getRows, close: async () => undefined } } : { rows };
      },
      rollback: async () => undefined,
      break: async () => undefined,
      close: async () => {
        facts.closed = true;
      },
    });
  }
}
