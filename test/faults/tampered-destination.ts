/**
 * A destination with one of its protections switched off: statements of Tidemark are rewritten on their way to the server. What goes wrong
 * then shows that the protection, and the check that sees it, are real.
 */
import { Destination } from '../../destinations/postgres/destination.ts';
import type { Session } from '../../destinations/postgres/destination.ts';

interface Rewrite {
  readonly from: string;
  readonly to: string;
}

/** Name of a protection → the part of a statement that is it, and what stands there when it is off. */
export const PROTECTIONS = {
  /** A batch that is in the ledger is not loaded again. */
  'ledger lookup': { from: 'from tidemark.ledger where batch = $1', to: 'from tidemark.ledger where batch = $1 and false' },
  /** A load commits only onto the watermark that its batch was read from. */
  'watermark version': { from: 'and generation = $3 and version = $4', to: 'and generation = $3 and $4::bigint is not null' },
  /** An attempt that was overtaken no longer commits. */
  token: { from: 'where batch = $1 and token = $2', to: 'where batch = $1 and $2::uuid is not null' },
  /** A batch that is read again has another id, so an attempt that read it before finds none of its own. */
  'new id': { from: "set batch = nextval('tidemark.batch_id'), ", to: 'set ' },
  /** An attempt that was overtaken holds no locks. */
  'ended session': { from: 'pg_terminate_backend(a.pid, 5000)', to: 'null' },
  /** A stage is loaded only as the batch it was filled for. */
  'stage label': { from: "obj_description($1::regclass, 'pg_class') as label", to: "case when $1::regclass is not null then (select ' ' || max(batch) from tidemark.batch) end as label" },
  /** A stage is loaded only with as many rows as were put into it. */
  'stage count': { from: 'select count(*) as n, obj_description', to: "select greatest(count(*), (select (staged->>'read')::bigint from tidemark.batch where staged is not null order by batch desc limit 1)) as n, obj_description" },
  /** A batch does not overwrite what a later one wrote. */
  'later batch': { from: 'select exists (select from tidemark.ledger', to: 'select false and exists (select from tidemark.ledger' },
} as const satisfies Record<string, Rewrite>;

export type Protection = keyof typeof PROTECTIONS;

export class TamperedDestination extends Destination {
  /** Protections that are off; may change between two steps. */
  off: readonly Protection[];
  /** Settings of each session, as SQL. */
  readonly #settings: string;
  readonly applied = new Set<Protection>();

  constructor(url: string, off: readonly Protection[], settings = '') {
    super(url, { sessionsMax: 12, applicationName: 'tidemark test' });
    this.off = off;
    this.#settings = settings;
  }

  override async rawSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return super.rawSession(async (session) => {
      if (this.#settings !== '') await session.query(this.#settings);
      return work(this.#tampered(session));
    });
  }

  #tampered(session: Session): Session {
    const query = (statement: unknown, ...rest: unknown[]): unknown => Reflect.apply(session.query, session, [typeof statement === 'string' ? this.#rewritten(statement) : statement, ...rest]);
    return new Proxy(session, {
      get: (target, name) => {
        if (name === 'query') return query;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }

  #rewritten(statement: string): string {
    let text = statement;
    for (const name of this.off) {
      const { from, to } = PROTECTIONS[name];
      if (!text.includes(from)) continue;
      text = text.replace(from, () => to);
      this.applied.add(name);
    }
    return text;
  }
}
