import type { Connection } from '@temporalio/client';
import { TidemarkError } from '../schemas/errors.ts';

/** Search attributes of Tidemark's workflows, all of type Keyword. They are never encrypted: ids and states only. */
export const SEARCH_ATTRIBUTES = ['TidemarkSource', 'TidemarkStream', 'TidemarkStatus', 'TidemarkRun', 'TidemarkKind'] as const;

const KEYWORD = 2;

/**
 * Adds the search attributes that the namespace lacks. Idempotent; they are usable about two seconds later.
 * Throws `temporal.unreachable` where the server refuses, with the command for its administrator.
 */
export async function ensureSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = SEARCH_ATTRIBUTES.filter((name) => !Object.hasOwn(customAttributes ?? {}, name));
    if (missing.length === 0) return;
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (cause) {
    throw new TidemarkError('temporal.unreachable', `The search attributes of namespace ${namespace} could not be prepared.`, {
      hint: `Let an administrator run: temporal operator search-attribute create --namespace ${namespace} ${SEARCH_ATTRIBUTES.map((name) => `--name ${name} --type Keyword`).join(' ')}`,
      cause,
    });
  }
}
