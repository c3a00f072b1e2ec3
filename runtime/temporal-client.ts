/**
 * The one way to Temporal: where the server is, how to connect, and the converter that all clients and workers share.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DataConverter } from '@temporalio/common';
import { TidemarkError } from '../schemas/errors.ts';
import { dataDirectory, environment, type Environment } from './environment.ts';
import { registerSecret } from './secret-masking.ts';
import { Client, Connection } from './temporal-library.ts';
import { readUpState } from './up-state.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const GRPC_NOT_FOUND = 5;

/** For `Client`, `Worker.create` and `bundleWorkflowCode` alike; see failure-converter.ts. */
export const dataConverter: DataConverter = { failureConverterPath: join(import.meta.dirname, 'failure-converter.ts') };

export interface TemporalLocation {
  /** `host:port`. */
  readonly address: string;
  readonly namespace: string;
  /** Address of the Web UI where `up` started it, else null. */
  readonly ui: string | null;
}

/** Certificates and key in the shape that both `Connection` and `NativeConnection` take. */
export interface TemporalConnectionOptions {
  readonly address: string;
  readonly tls?: boolean | { serverNameOverride?: string; serverRootCACertificate?: Buffer; clientCertPair?: { crt: Buffer; key: Buffer } };
  readonly apiKey?: string;
}

export interface TemporalConnection extends TemporalLocation {
  readonly client: Client;
  readonly connection: Connection;
  close(): Promise<void>;
}

const TWO_WAYS = 'Start one on this machine with `tidemark up`, or set TEMPORAL_ADDRESS to the host:port of a server of yours.';

/** `TEMPORAL_ADDRESS` where set, else the `up` of the data directory. Throws `temporal.unreachable`. */
export function locateTemporal(dataDir: string = dataDirectory(), env: Environment = environment()): TemporalLocation {
  if (env.TEMPORAL_ADDRESS !== undefined) {
    const state = readUpState(dataDir);
    const ui = state?.temporal === env.TEMPORAL_ADDRESS ? state.ui : null;
    return { address: env.TEMPORAL_ADDRESS, namespace: env.TEMPORAL_NAMESPACE ?? 'default', ui };
  }
  const state = readUpState(dataDir);
  if (state === null) throw new TidemarkError('temporal.unreachable', 'No Temporal server is known here.', { hint: TWO_WAYS });
  return { address: state.temporal, namespace: env.TEMPORAL_NAMESPACE ?? state.namespace, ui: state.ui };
}

function certificate(path: string | undefined, data: string | undefined, name: string): Buffer | undefined {
  if (data !== undefined) return Buffer.from(data, 'utf8');
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new TidemarkError('config.invalid', `The file that ${name} names can't be read.`, { path: name, cause });
  }
}

/** Throws `config.invalid` where a certificate can't be read or its key is missing. */
export function connectionOptions(address: string, env: Environment = environment()): TemporalConnectionOptions {
  const ca = certificate(env.TEMPORAL_TLS_SERVER_CA_CERT_PATH, env.TEMPORAL_TLS_SERVER_CA_CERT_DATA, 'TEMPORAL_TLS_SERVER_CA_CERT_PATH');
  const crt = certificate(env.TEMPORAL_TLS_CLIENT_CERT_PATH, env.TEMPORAL_TLS_CLIENT_CERT_DATA, 'TEMPORAL_TLS_CLIENT_CERT_PATH');
  const key = certificate(env.TEMPORAL_TLS_CLIENT_KEY_PATH, env.TEMPORAL_TLS_CLIENT_KEY_DATA, 'TEMPORAL_TLS_CLIENT_KEY_PATH');
  if ((crt === undefined) !== (key === undefined)) {
    throw new TidemarkError('config.invalid', 'A client certificate for Temporal needs its key, and the key its certificate.', {
      path: crt === undefined ? 'TEMPORAL_TLS_CLIENT_CERT_PATH' : 'TEMPORAL_TLS_CLIENT_KEY_PATH',
    });
  }
  registerSecret(env.TEMPORAL_API_KEY);
  const detailed = ca !== undefined || crt !== undefined || env.TEMPORAL_TLS_SERVER_NAME !== undefined;
  return {
    address,
    ...(detailed
      ? {
          tls: {
            ...(env.TEMPORAL_TLS_SERVER_NAME === undefined ? {} : { serverNameOverride: env.TEMPORAL_TLS_SERVER_NAME }),
            ...(ca === undefined ? {} : { serverRootCACertificate: ca }),
            ...(crt === undefined || key === undefined ? {} : { clientCertPair: { crt, key } }),
          },
        }
      : env.TEMPORAL_TLS || env.TEMPORAL_API_KEY !== undefined
        ? { tls: true }
        : {}),
    ...(env.TEMPORAL_API_KEY === undefined ? {} : { apiKey: env.TEMPORAL_API_KEY }),
  };
}

async function checkNamespace(connection: Connection, namespace: string): Promise<void> {
  try {
    await connection.withDeadline(Date.now() + CONNECT_TIMEOUT_MS, () => connection.workflowService.describeNamespace({ namespace }));
  } catch (cause) {
    if (cause instanceof Error && Reflect.get(cause, 'code') === GRPC_NOT_FOUND) {
      throw new TidemarkError('temporal.unreachable', `The Temporal server has no namespace ${namespace}.`, {
        hint: `Set TEMPORAL_NAMESPACE, or create it: temporal operator namespace create --namespace ${namespace}`,
        cause,
      });
    }
    // A server may forbid the question and still allow the work.
  }
}

/**
 * Connects within a bounded time. The caller closes it. Throws `temporal.unreachable` (nobody answers, no such namespace)
 * and `config.invalid` (certificates).
 */
export async function connectTemporal(location: TemporalLocation = locateTemporal(), timeoutMs = CONNECT_TIMEOUT_MS): Promise<TemporalConnection> {
  let connection: Connection;
  try {
    connection = await Connection.connect({ ...connectionOptions(location.address), connectTimeout: timeoutMs });
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause;
    throw new TidemarkError('temporal.unreachable', `No Temporal server answers at ${location.address}.`, { hint: TWO_WAYS, cause });
  }
  try {
    await checkNamespace(connection, location.namespace);
    const client = new Client({ connection, namespace: location.namespace, dataConverter });
    return { ...location, client, connection, close: () => connection.close() };
  } catch (error) {
    await connection.close();
    throw error;
  }
}
