import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { upsertSearchAttributes } from '@temporalio/workflow';

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);

const SOURCE = keyword('TidemarkSource');
const STREAM = keyword('TidemarkStream');
const STATUS = keyword('TidemarkStatus');
const RUN = keyword('TidemarkRun');
const KIND = keyword('TidemarkKind');

/** Makes a workflow findable in Temporal's UI. Ids and states only: search attributes are never encrypted. */
export function markWorkflow(facts: { readonly source: string; readonly stream?: string; readonly runId: string; readonly kind: 'sync' | 'stream' | 'reconcile' | 'backfill' }): void {
  upsertSearchAttributes([
    { key: SOURCE, value: facts.source },
    { key: RUN, value: facts.runId },
    { key: KIND, value: facts.kind },
    { key: STATUS, value: 'running' },
    ...(facts.stream === undefined ? [] : [{ key: STREAM, value: facts.stream }]),
  ]);
}

export function markStatus(status: string): void {
  upsertSearchAttributes([{ key: STATUS, value: status }]);
}
