import { connectSource, type ConnectOptions } from '../connectors/connect-source.ts';
import { registerSecret } from '../runtime/secret-masking.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { SourceSettings } from '../schemas/settings.ts';

/**
 * What keeps a source's fallback from being used, as warnings; none where it has no fallback. `identity` is that of the primary, null where that
 * one did not answer.
 */
export async function fallbackWarnings(source: SourceSettings, identity: string | null, options: Pick<ConnectOptions, 'variables' | 'signal'>): Promise<readonly string[]> {
  if (source.fallback === null) return [];
  try {
    const session = await connectSource({ ...source, connection: source.fallback }, { ...options, onSecret: registerSecret });
    try {
      const same = identity === null || (await session.server()).identity === identity;
      return same ? [] : ['the fallback is not a replica of the primary: it has another identity, so it will not be read'];
    } finally {
      await session.close();
    }
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    return [`the fallback can't be used: ${error.code}. ${error.message}`];
  }
}
