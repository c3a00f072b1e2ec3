/** Somebody works at the bank: a few inserts and updates each second, in transactions, until stopped. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

const PAUSE_MS = 400;

const BOOKING = `
  with booked as (
    insert into bank.transactions (account_id, amount, channel, narrative, booked_at, updated_at)
    select account_id, round((random() * 200000 - 100000)::numeric, 2), (array['branch','mobile','card','atm','transfer'])[1 + floor(random() * 5)::int],
      'Payment ' || floor(random() * 1000000000)::bigint, clock_timestamp(), clock_timestamp()
    from (select 1 + floor(random() * 30000)::bigint as account_id from generate_series(1, 3)) accounts
    returning account_id, amount)
  update bank.accounts a set balance = a.balance + b.amount, updated_at = clock_timestamp()
  from (select account_id, sum(amount) as amount from booked group by account_id) b where a.account_id = b.account_id`;

/** What may happen in one transaction, each with how often it does, 0 to 1. */
const EVENTS: readonly { readonly chance: number; readonly sql: string }[] = [
  { chance: 1, sql: BOOKING },
  {
    chance: 0.5,
    sql: `update bank.transactions set narrative = coalesce(narrative, 'Payment') || ' *', updated_at = clock_timestamp()
          where transaction_id = (select 1 + floor(random() * max(transaction_id))::bigint from bank.transactions)`,
  },
  {
    chance: 0.3,
    sql: `update bank.customers set phone = '+2557' || lpad(floor(random() * 100000000)::text, 8, '0'), updated_at = clock_timestamp()
          where customer_id = 1 + floor(random() * 20000)::bigint`,
  },
  {
    chance: 0.2,
    sql: `insert into bank.customers (full_name, phone, email, born_on, segment, branch_id, created_at, updated_at)
          values ('New Customer', '+255700000000', null, '1990-05-17', 'retail', 1 + floor(random() * 24)::int, clock_timestamp(), clock_timestamp())`,
  },
  {
    chance: 0.6,
    sql: `insert into bank.audit_events (actor, action, details, happened_at)
          values ('teller-' || floor(random() * 200)::int, 'approve', '{"branch": 7, "ok": true}', clock_timestamp())`,
  },
  { chance: 0.05, sql: `update bank.branches set region = case region when 'Coast' then 'East' else 'Coast' end where branch_id = 1 + floor(random() * 24)::int` },
];

export interface Writer {
  /** Transactions committed so far. */
  committed(): number;
  /** Resolves when the transaction under way has ended and nothing more is written. */
  stop(): Promise<void>;
}

async function writeOnce(client: pg.Client): Promise<void> {
  await client.query('begin');
  for (const { chance, sql } of EVENTS) {
    if (Math.random() < chance) await client.query(sql);
  }
  await client.query('commit');
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'demo writer' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Starts writing. A lost connection is opened again: the server may be restarted while it works. */
export function startWriter(url: string): Writer {
  const stopping = new AbortController();
  let committed = 0;

  async function session(): Promise<void> {
    const client = await connect(url);
    try {
      while (!stopping.signal.aborted) {
        await writeOnce(client);
        committed += 1;
        await sleep(PAUSE_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  const working = (async () => {
    while (!stopping.signal.aborted) {
      await session().catch(() => sleep(1_000, undefined, { signal: stopping.signal }).catch(() => undefined));
    }
  })();

  return {
    committed: () => committed,
    async stop() {
      stopping.abort();
      await working;
    },
  };
}
