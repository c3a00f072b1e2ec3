import type { Register } from '../context.ts';
import { placeOf } from '../place.ts';

export const register: Register = (program, context) => {
  program
    .command('ledger')
    .argument('<source>', 'a source')
    .argument('<stream>', 'one of its streams, by its name in the file')
    .description("a stream's batches with their counts and hashes, newest first")
    .option('--limit <n>', 'how many', '20')
    .action(async (source: string, stream: string, options: { limit: string }) => {
      const { withDestination } = await import('../../control/open.ts');
      const { listBatches, parseLimit } = await import('../../control/history.ts');
      const limit = parseLimit(options.limit);
      const batches = await withDestination(await placeOf(context), (destination) => listBatches(destination, source, stream, limit));
      await context.output.result({ ok: true, batches }, async () => {
        if (batches.length === 0) return 'No batch yet.';
        const rows = batches.map((each) => [
          String(each.batch), each.from ?? '', each.to ?? '', ...[each.read, each.written, each.unchanged, each.rejected, each.superseded, each.deleted, each.bytes].map((n) => n.toLocaleString('en-US')), each.committedAt,
        ]);
        return context.output.table(['batch', 'from', 'to', 'read', 'written', 'unchanged', 'rejected', 'superseded', 'deleted', 'bytes', 'committed'], rows);
      });
    });
};
