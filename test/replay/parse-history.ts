/**
 * Temporal's JSON of a history → the message that `Worker.runReplayHistory` takes. The SDK's own `historyFromJSON` fails with "type must be
 * a Type" wherever npm gives `@temporalio/common` and `@temporalio/proto` a copy of protobufjs each; here the copy is the one that made the types.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { RecordedEvent } from './history-files.ts';

interface ProtoJson {
  fromJson(type: unknown, json: unknown, options: { readonly ignoreUnknownFields: boolean }): unknown;
}

interface Root {
  lookupType(name: string): unknown;
}

const ofCommon = createRequire(createRequire(join(import.meta.dirname, 'parse-history.js')).resolve('@temporalio/common'));
const ofProto = createRequire(ofCommon.resolve('@temporalio/proto'));

const { patchProtobufRoot } = ofCommon('@temporalio/proto/lib/patch-protobuf-root') as { patchProtobufRoot: (root: unknown) => Root };
const { fromJson } = ofProto('protobufjs/ext/protojson') as ProtoJson;
const historyType = patchProtobufRoot(ofCommon('@temporalio/proto')).lookupType('temporal.api.history.v1.History');

export function parseHistory(events: readonly RecordedEvent[]): unknown {
  return fromJson(historyType, { events }, { ignoreUnknownFields: true });
}
