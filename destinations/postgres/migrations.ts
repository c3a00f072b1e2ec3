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
