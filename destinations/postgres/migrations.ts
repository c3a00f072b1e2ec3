import type { Session } from './session.ts';

/** Serialises migrations of workers and commands that start together; any constant of ours will do. */
const MIGRATION_LOCK = 7_310_577_001;

/** Applied in order, each once. A released one is never edited. */
const MIGRATIONS: readonly string[] = [
  `
  create table tidemark.source (
    id text primary key,
    settings jsonb not null,
    settings_hash text not null,
    paused boolean not null default false,
    applied_at timestamptz not null default clock_timestamp()
  );
  create table tidemark.stream (
    source text not null references tidemark.source on delete cascade,
    stream text not null,
    ordinal integer not null,
    target text not null,
    settings jsonb not null,
    paused boolean not null default false,
    parked jsonb,
    plan jsonb,
    checked_at timestamptz,
    primary key (source, stream)
  );
  create unique index stream_target on tidemark.stream (target);

  create table tidemark.watermark (
    source text not null,
    stream text not null,
    generation integer not null,
    version bigint not null,
    position jsonb,
    display text,
    guarantee text not null,
    future_rows bigint not null default 0,
    as_of timestamptz,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (source, stream)
  );
  comment on table tidemark.watermark is 'The position up to which each stream is complete in its target; written in the transaction of the rows.';

  create table tidemark.generation (
    source text not null,
    stream text not null,
    generation integer not null,
    state text not null check (state in ('building', 'current', 'old', 'dropped')),
    table_schema text not null,
    table_name text not null,
    shape_hash text not null,
    version bigint not null default 0,
    position jsonb,
    display text,
    guarantee text not null,
    as_of timestamptz,
    keyed boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    primary key (source, stream, generation)
  );
  create unique index generation_building on tidemark.generation (source, stream) where state = 'building';

  create table tidemark.range (
    id bigint generated always as identity primary key,
    source text not null,
    stream text not null,
    generation integer not null,
    part jsonb not null,
    batch bigint,
    done_at timestamptz
  );
  create index range_stream on tidemark.range (source, stream, generation);

  create sequence tidemark.batch_id;
  create table tidemark.batch (
    batch bigint primary key default nextval('tidemark.batch_id'),
    source text not null,
    stream text not null,
    run_id text not null,
    step text not null,
    generation integer not null,
    token uuid not null,
    backend text,
    lenient boolean not null default false,
    state text not null default 'open' check (state in ('open', 'staged', 'loaded')),
    base_version bigint,
    staged jsonb,
    opened_at timestamptz not null default clock_timestamp(),
    unique (source, stream, run_id, step)
  );
  comment on table tidemark.batch is 'Batches on their way; a row leaves it when its run has ended.';

  create table tidemark.ledger (
    batch bigint primary key,
    source text not null,
    stream text not null,
    run_id text not null,
    generation integer not null,
    kind text not null,
    "from" text,
    "to" text,
    read bigint not null,
    written bigint not null,
    unchanged bigint not null,
    rejected bigint not null,
    superseded bigint not null,
    deleted bigint not null,
    bytes bigint not null,
    hash text not null,
    committed_at timestamptz not null default clock_timestamp(),
    constraint equation check (read = written + unchanged + rejected + superseded + deleted),
    constraint one_batch_once unique (source, stream, batch)
  );
  create index ledger_run on tidemark.ledger (run_id);
  comment on table tidemark.ledger is 'One row for every batch, written in the transaction of its rows.';

  create table tidemark.quarantine (
    id bigint generated always as identity primary key,
    batch bigint not null,
    source text not null,
    stream text not null,
    reasons jsonb not null,
    "row" jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    replayed_at timestamptz
  );
  create index quarantine_stream on tidemark.quarantine (source, stream);
  create unique index quarantine_once on tidemark.quarantine (source, stream, md5(reasons::text || "row"::text)) where replayed_at is null;
  comment on index tidemark.quarantine_once is 'A rejected row that is read again and has not changed waits once.';

  create table tidemark.run (
    run_id text primary key,
    source text not null,
    trigger text not null,
    scope jsonb not null,
    workflow_id text not null,
    workflow_run_id text not null,
    status text not null,
    polls bigint not null default 0,
    requested_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz
  );
  create unique index run_active on tidemark.run (source) where status = 'running';
  create index run_source on tidemark.run (source, requested_at desc);

  create table tidemark.run_stream (
    run_id text not null references tidemark.run on delete cascade,
    source text not null,
    stream text not null,
    target text not null,
    mode text not null,
    status text not null,
    batches bigint not null default 0,
    read bigint not null default 0,
    written bigint not null default 0,
    unchanged bigint not null default 0,
    rejected bigint not null default 0,
    superseded bigint not null default 0,
    deleted bigint not null default 0,
    bytes bigint not null default 0,
    seconds double precision not null default 0,
    watermark_from text,
    watermark_to text,
    error jsonb,
    notes jsonb not null default '[]',
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    primary key (run_id, stream)
  );
  create index run_stream_latest on tidemark.run_stream (source, stream, started_at desc);

  create function tidemark.misfit(value text, type text) returns boolean language plpgsql as $f$
  begin
    -- A cast to char(n), varchar(n) or bit(n) cuts in silence; reading the value from JSON applies the length as COPY does.
    if type ~ '^(character|bit)' then
      execute format('select c from json_to_record(json_build_object(''c'', $1)) as r(c %s)', type) using value;
    else
      execute format('select cast($1 as %s)', type) using value;
    end if;
    return false;
  exception when data_exception or check_violation or not_null_violation then
    return true;
  end $f$;
  comment on function tidemark.misfit is 'True where the text is no value of the type; asked only when a batch failed as a whole.';
  `,
  `
  create table tidemark.reconciliation (
    run_id text not null,
    source text not null,
    stream text not null,
    result jsonb not null,
    started_at timestamptz not null,
    ended_at timestamptz not null default clock_timestamp(),
    primary key (run_id, source, stream)
  );
  create index reconciliation_stream on tidemark.reconciliation (source, stream, ended_at desc);
  comment on table tidemark.reconciliation is 'What each comparison of a stream found.';

  create table tidemark.difference (
    id bigint generated always as identity primary key,
    source text not null,
    stream text not null,
    run_id text not null,
    kind text not null check (kind in ('missing', 'extra', 'different')),
    key jsonb not null,
    source_hash text,
    target_hash text,
    found_at timestamptz not null default clock_timestamp(),
    settled_at timestamptz
  );
  create index difference_stream on tidemark.difference (source, stream, id);
  comment on table tidemark.difference is 'Keys that the last comparison of each stream found missing, extra or different in the target, until a repair makes them equal.';
  comment on column tidemark.difference.settled_at is 'When it was certain that the row was not just on its way; NULL while that is open.';
  `,
  `
  alter table tidemark.generation add column masks text not null default '';
  comment on column tidemark.generation.masks is 'Fingerprint of the masks that its rows passed through.';
  `,
  `
  alter table tidemark.quarantine add column masks text not null default '', add column replay_batch bigint, add column outcome text;
  comment on column tidemark.quarantine.masks is 'Fingerprint of the masks that the values passed through.';
  comment on column tidemark.quarantine.outcome is 'loaded: by a replay. superseded: the target has a newer row, or a newer build.';

  create function tidemark.failing_rows(stage text, query text) returns setof tid language plpgsql as $f$
  declare
    place tid;
  begin
    for place in execute stage loop
      begin
        execute query using place;
      exception when data_exception or integrity_constraint_violation or raise_exception then
        return next place;
      end;
    end loop;
  end $f$;
  comment on function tidemark.failing_rows is 'Rows for which a transform or a condition fails; asked only when it failed for a batch as a whole.';
  `,
  `
  create table tidemark.backfill (
    id bigint generated always as identity primary key,
    source text not null,
    stream text not null,
    "from" text not null,
    "to" text not null,
    unique (source, stream, "from", "to")
  );
  comment on table tidemark.backfill is 'Ranges of cursor values that were asked to be synced again; their bounds stay here and go through Temporal by id.';

  create table tidemark.slice (
    id bigint generated always as identity primary key,
    backfill bigint not null references tidemark.backfill on delete cascade,
    run_id text not null,
    source text not null,
    stream text not null,
    ordinal integer not null,
    "from" text not null,
    "to" text not null,
    state text not null default 'open' check (state in ('open', 'done', 'proven')),
    generation integer,
    batch bigint,
    done_at timestamptz,
    unique (run_id, ordinal)
  );
  create index slice_open on tidemark.slice (run_id, id) where state = 'open';
  comment on column tidemark.slice.state is 'open: to be read; done: its batch is in the ledger; proven: the ledger proved the range before, and only gaps were asked for.';
  `,
  `
  create table tidemark.approval (
    id bigint generated always as identity primary key,
    source text not null,
    stream text not null,
    action text not null,
    fingerprint text not null,
    detail text not null,
    facts jsonb not null default '{}',
    state text not null default 'pending' check (state in ('pending', 'approved', 'rejected', 'done', 'outdated')),
    run_id text,
    requested_at timestamptz not null default clock_timestamp(),
    decided_at timestamptz,
    decided_by text,
    done_at timestamptz
  );
  create unique index approval_open on tidemark.approval (source, stream, action) where state in ('pending', 'approved');
  comment on table tidemark.approval is 'Destructive steps that were planned, and who decided them.';
  comment on column tidemark.approval.fingerprint is 'What exactly was planned: an approval holds for nothing else.';

  create table tidemark.event (
    id bigint generated always as identity primary key,
    event_id uuid not null default gen_random_uuid(),
    type text not null,
    source text not null,
    stream text,
    at timestamptz not null default clock_timestamp(),
    data jsonb not null
  );
  create index event_stream on tidemark.event (source, stream, id);
  comment on table tidemark.event is 'Outbox: what happened, written in the transaction in which it happened.';
  `,
  `
  alter table tidemark.event add column xid xid8 not null default pg_current_xact_id();
  create index event_xid on tidemark.event (xid);
  comment on column tidemark.event.xid is 'The transaction that wrote it: below the oldest one that is open, no event can appear any more.';

  alter table tidemark.ledger add column xid xid8 not null default pg_current_xact_id();
  create index ledger_xid on tidemark.ledger (xid);
  comment on column tidemark.ledger.xid is 'The transaction that wrote it, by which followers know what can still appear.';

  create table tidemark.webhook (
    id bigint generated always as identity primary key,
    url text not null unique,
    secret text not null,
    types text[],
    insecure boolean not null default false,
    low xid8 not null default pg_snapshot_xmin(pg_current_snapshot()),
    dropped bigint not null default 0,
    applied_at timestamptz not null default clock_timestamp()
  );
  comment on table tidemark.webhook is 'Receivers of events as applied; references to secrets, never secrets.';
  comment on column tidemark.webhook.low is 'Every event of an earlier transaction is delivered.';
  comment on column tidemark.webhook.dropped is 'Events that were pruned before they could be delivered.';

  create table tidemark.webhook_delivery (
    webhook bigint not null references tidemark.webhook on delete cascade,
    event bigint not null,
    delivered_at timestamptz not null default clock_timestamp(),
    primary key (webhook, event)
  );
  comment on table tidemark.webhook_delivery is 'Events that were delivered, from webhook.low on.';

  create table tidemark.webhook_stream (
    webhook bigint not null references tidemark.webhook on delete cascade,
    source text not null,
    stream text not null,
    state text not null check (state in ('retrying', 'failed')),
    attempts integer not null,
    since timestamptz not null default clock_timestamp(),
    next_at timestamptz not null,
    error text not null,
    primary key (webhook, source, stream)
  );
  comment on table tidemark.webhook_stream is 'Streams whose next event a webhook has not taken; the row goes with the next delivery. An empty stream: events of the source as a whole.';

  create table tidemark.freshness (
    source text not null,
    stream text not null,
    since timestamptz not null,
    reason text not null,
    noticed_at timestamptz not null default clock_timestamp(),
    primary key (source, stream)
  );
  comment on table tidemark.freshness is 'Streams that miss their objective now, and since when.';

  create table tidemark.touch (
    batch bigint not null,
    source text not null,
    stream text not null,
    old jsonb
  );
  create index touch_batch on tidemark.touch (batch);
  comment on table tidemark.touch is 'Old values of the columns named in touch_log, of rows that a batch changed, moved or deleted.';
  comment on column tidemark.touch.old is 'Values as text by column. NULL: any row of the target may have changed.';

  create table tidemark.follower (
    name text primary key,
    low xid8 not null default '0',
    created_at timestamptz not null default clock_timestamp(),
    consumed_at timestamptz
  );
  comment on column tidemark.follower.low is 'Every batch of an earlier transaction is consumed, or will never be one to follow.';
  create table tidemark.follower_batch (
    follower text not null references tidemark.follower on delete cascade on update cascade,
    batch bigint not null,
    primary key (follower, batch)
  );
  comment on table tidemark.follower_batch is 'Batches that a follower has consumed, from follower.low on.';

  create function tidemark.follow(follower text, max_batches integer default 1000)
  returns table (batch bigint, source text, stream text, target text, kind text, "from" text, "to" text, read bigint, written bigint, deleted bigint, committed_at timestamptz)
  language plpgsql as $f$
  #variable_conflict use_column
  declare
    since xid8;
  begin
    insert into tidemark.follower as f (name) values (follow.follower) on conflict do nothing;
    select f.low into since from tidemark.follower f where f.name = follow.follower for update;
    -- A copy of this database on another server counts transactions anew.
    if since > pg_snapshot_xmax(pg_current_snapshot()) then
      update tidemark.follower f set low = '0' where f.name = follow.follower;
      since := '0';
    end if;
    return query
      select l.batch, l.source, l.stream, s.target, l.kind, l."from", l."to", l.read, l.written, l.deleted, l.committed_at
      from tidemark.ledger l join tidemark.watermark w on w.source = l.source and w.stream = l.stream and w.generation = l.generation
        left join tidemark.stream s on s.source = l.source and s.stream = l.stream
      where l.xid >= since and not exists (select from tidemark.follower_batch c where c.follower = follow.follower and c.batch = l.batch)
      order by l.batch limit max_batches;
  end $f$;
  comment on function tidemark.follow is 'Batches that readers can see and the follower has not consumed, each until it is. One transaction of a follower at a time.';

  create function tidemark.consumed(follower text, batches bigint[]) returns void language plpgsql as $f$
  #variable_conflict use_column
  declare
    since xid8;
  begin
    select f.low into since from tidemark.follower f where f.name = consumed.follower for update;
    if since is null then
      raise exception 'there is no follower %: call tidemark.follow first', consumed.follower;
    end if;
    insert into tidemark.follower_batch (follower, batch)
      select consumed.follower, l.batch from tidemark.ledger l where l.batch = any (batches) and l.xid >= since on conflict do nothing;
    -- In one snapshot: what it sees below its own xmin is all that will ever be there. Batches of a build come to be seen with its swap.
    update tidemark.follower f set consumed_at = clock_timestamp(), low = greatest(since, least(pg_snapshot_xmin(pg_current_snapshot()), coalesce((
        select l.xid from tidemark.ledger l
        where l.xid >= since and not exists (select from tidemark.follower_batch c where c.follower = consumed.follower and c.batch = l.batch)
          and exists (select from tidemark.generation g where g.source = l.source and g.stream = l.stream and g.generation = l.generation and g.state in ('building', 'current'))
        order by l.xid limit 1), pg_snapshot_xmin(pg_current_snapshot()))))
      where f.name = consumed.follower returning f.low into since;
    delete from tidemark.follower_batch c using tidemark.ledger l where c.follower = consumed.follower and l.batch = c.batch and l.xid < since;
  end $f$;
  comment on function tidemark.consumed is 'Marks batches as consumed by a follower: in the transaction that made use of them, each counts exactly once.';
  `,
  `
  create table tidemark.breaker (
    source text not null references tidemark.source (id) on delete cascade,
    connection text not null check (connection in ('primary', 'fallback')),
    state text not null default 'closed' check (state in ('closed', 'open', 'half_open')),
    failures integer not null default 0,
    successes integer not null default 0,
    opened_at timestamptz,
    retry_at timestamptz,
    last_error text,
    failed_at timestamptz,
    probe text,
    probe_until timestamptz,
    serving boolean not null default false,
    changed_at timestamptz not null default clock_timestamp(),
    primary key (source, connection)
  );
  comment on table tidemark.breaker is 'Circuit breaker of each connection of a source, shared by all workers. No row: closed, no failure.';
  comment on column tidemark.breaker.failures is 'Connection failures in a row.';
  comment on column tidemark.breaker.opened_at is 'Since when it is not closed.';
  comment on column tidemark.breaker.retry_at is 'From when on one probe is let through.';
  comment on column tidemark.breaker.probe is 'The one attempt to connect that is let through while half open.';
  comment on column tidemark.breaker.serving is 'Of a fallback: the last session of the source was opened on it.';

  alter table tidemark.stream add column resumes boolean not null default false;
  comment on column tidemark.stream.resumes is 'It was parked, and has not completed since.';
  `,
  `
  create table tidemark.delete_scan (
    id bigint generated always as identity primary key,
    source text not null,
    stream text not null,
    run_id text not null,
    step text not null,
    generation integer not null,
    batch bigint,
    state text not null default 'running' check (state in ('running', 'completed', 'waiting', 'rejected')),
    way text check (way in ('digest', 'extract')),
    scope text,
    source_rows bigint,
    target_rows bigint,
    found bigint,
    deleted bigint,
    as_of timestamptz,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    unique (source, stream, run_id, step)
  );
  create index delete_scan_stream on tidemark.delete_scan (source, stream, id);
  comment on table tidemark.delete_scan is 'Scans of all keys of a source for rows that are gone.';
  comment on column tidemark.delete_scan.state is 'running: not ended, or its worker died; waiting: more than delete_cap allows, a person decides; rejected: a person decided against it.';
  comment on column tidemark.delete_scan.scope is 'Fingerprint of what the scan looked through: the table or view, its definition, the user.';

  create table tidemark.deleted_key (
    source text not null,
    stream text not null,
    h0 bigint not null,
    h1 bigint not null,
    batch bigint not null,
    primary key (source, stream, h0, h1)
  );
  comment on table tidemark.deleted_key is 'Hashes of keys that a batch deleted, as long as an earlier one may bring them back.';
  `,
  `
  -- The source's table as the stream was last read by it: a change of the settings makes a new plan, but what the table was is not forgotten.
  alter table tidemark.stream add column shape jsonb, add column accepted_shape text;
  `,
  `
  create table tidemark.retention (
    id bigint generated always as identity primary key,
    source text not null,
    stream text not null,
    run_id text,
    batch bigint,
    target text not null,
    "column" text not null,
    keep text not null,
    cutoff timestamptz not null,
    rows bigint not null,
    at timestamptz not null default clock_timestamp()
  );
  create index retention_stream on tidemark.retention (source, stream, id);
  comment on table tidemark.retention is 'Rows of targets that went since they were older than they may be kept; each row here stands for one transaction.';
  comment on column tidemark.retention.batch is 'The batch that brought the row as it is now, past its time; NULL where time alone had passed.';

  create table tidemark.retention_pass (
    source text not null,
    stream text not null,
    rule jsonb not null,
    page bigint not null,
    ended_at timestamptz,
    primary key (source, stream)
  );
  comment on table tidemark.retention_pass is 'How far the look for rows past their time has come in each target; NULL while it is under way.';
  `,
  `
  -- Polls look for runs that wait, every second, among all runs that ever were.
  create index run_waiting on tidemark.run (source) where status = 'waiting';
  `,
  `
  create function tidemark.batch_of_copy() returns bigint language sql immutable parallel safe
    return current_setting('tidemark.batch')::bigint;
  comment on function tidemark.batch_of_copy() is 'The batch that the session copies. Called immutable, although it is not, so that a COPY works out the default of its column once and not for each row; for nothing but that default.';
  `,
];

/** Brings the schema `tidemark` to this code's version. Safe to run from many processes at once. */
export async function migrate(session: Session): Promise<void> {
  if ((await appliedCount(session)) === MIGRATIONS.length) return;
  await session.query('begin');
  await session.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
  await session.query('create schema if not exists tidemark');
  await session.query('create schema if not exists tidemark_stage');
  await session.query('create table if not exists tidemark.migration (id integer primary key, applied_at timestamptz not null default clock_timestamp())');
  const { rows } = await session.query<{ n: number }>('select count(*)::int as n from tidemark.migration');
  for (let id = rows[0]?.n ?? 0; id < MIGRATIONS.length; id++) {
    await session.query(MIGRATIONS[id]!);
    await session.query('insert into tidemark.migration (id) values ($1)', [id + 1]);
  }
  await session.query('commit');
}

async function appliedCount(session: Session): Promise<number> {
  const { rows } = await session.query<{ there: boolean }>("select to_regclass('tidemark.migration') is not null as there");
  if (!rows[0]?.there) return 0;
  const { rows: counted } = await session.query<{ n: number }>('select count(*)::int as n from tidemark.migration');
  return counted[0]?.n ?? 0;
}
