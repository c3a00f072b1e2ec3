/** Other tools that do a first load, where they are installed: Sling, and dlt with pyarrow. Each is run as its own documentation has it for a full refresh. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { which } from '../test/support/find-servers.js';
import { pipe } from './shell.ts';

export interface PeerLoad {
  /** `postgresql://…` or `mysql://…`. */
  readonly from: string;
  readonly schema: string;
  readonly table: string;
  readonly into: string;
}

export interface Peer {
  readonly name: string;
  readonly version: string;
  /** Seconds of one full refresh, the program's start included. The table is found in the destination's schema `peer`. */
  load(load: PeerLoad): Promise<number>;
}

const DLT = `
import os, dlt
from dlt.sources.sql_database import sql_table
source = sql_table(os.environ["PEER_FROM"], table=os.environ["PEER_TABLE"], schema=os.environ["PEER_SCHEMA"], backend="pyarrow", chunk_size=100000)
pipeline = dlt.pipeline("bench", destination=dlt.destinations.postgres(os.environ["PEER_INTO"]), dataset_name="peer", pipelines_dir=os.environ["PEER_FOLDER"])
pipeline.run(source, write_disposition="replace")
`;

export function findPeers(): readonly Peer[] {
  return [slingPeer(), dltPeer()].filter((peer) => peer !== null);
}

/** Null where the program does not run. */
function versionOf(program: string): string | null {
  try {
    return /\d+\.\d+[\w.]*/.exec(execFileSync(program, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))?.[0] ?? null;
  } catch {
    return null;
  }
}

function slingPeer(): Peer | null {
  const program = which('sling');
  const version = program === null ? null : versionOf(program);
  if (program === null || version === null) return null;
  return {
    name: 'Sling',
    version,
    load: ({ from, schema, table, into }) =>
      pipe('sling run --src-conn "$PEER_FROM" --src-stream "$PEER_STREAM" --tgt-conn "$PEER_INTO" --tgt-object "peer.$PEER_TABLE" --mode full-refresh 1>&2', {
        PEER_FROM: withoutTls(from),
        PEER_STREAM: `${schema}.${table}`,
        PEER_INTO: withoutTls(into),
        PEER_TABLE: table,
        SLING_DISABLE_TELEMETRY: 'true',
        HOME: mkdtempSync(join(tmpdir(), 'tidemark-peer-')),
      }),
  };
}

function dltPeer(): Peer | null {
  const program = which('dlt');
  const version = program === null ? null : versionOf(program);
  if (program === null || version === null) return null;
  return {
    name: 'dlt with pyarrow',
    version,
    load: ({ from, schema, table, into }) =>
      pipe('"$PEER_PYTHON" -c "$PEER_SCRIPT"', {
        PEER_PYTHON: join(dirname(program), 'python3'),
        PEER_SCRIPT: DLT,
        PEER_FROM: from.replace('mysql://', 'mysql+pymysql://').replace('postgresql://', 'postgresql+psycopg2://'),
        PEER_SCHEMA: schema,
        PEER_TABLE: table,
        PEER_INTO: into,
        PEER_FOLDER: mkdtempSync(join(tmpdir(), 'tidemark-peer-')),
        RUNTIME__DLTHUB_TELEMETRY: 'false',
      }),
  };
}

/** Both servers of the bench listen on this machine only, without certificates. */
const withoutTls = (url: string): string => (url.startsWith('postgresql:') ? `${url}?sslmode=disable` : url);
