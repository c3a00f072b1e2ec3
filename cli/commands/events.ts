import type { Register } from '../context.ts';
import { placeOf } from '../place.ts';

export const register: Register = (program, context) => {
  program
    .command('events')
    .argument('[source]', 'a source (default: all)')
    .description('what happened, newest first, and how the webhooks stand that are told of it')
    .option('--limit <n>', 'how many', '20')
    .action(async (source: string | undefined, options: { limit: string }) => {
      const { withDestination } = await import('../../control/open.ts');
      const { parseLimit } = await import('../../control/history.ts');
      const { readEvents } = await import('../../control/events/list.ts');
      const limit = parseLimit(options.limit);
      const { events, webhooks } = await withDestination(await placeOf(context), (destination) => readEvents(destination, source ?? null, limit));
      await context.output.result({ ok: true, events: events.map(({ id: order, eventId: id, ...rest }) => ({ id, order, ...rest })), webhooks }, async () => {
        const { output } = context;
        const table = events.length === 0 ? 'No event yet.' : await output.table(['at', 'event', 'source', 'stream', 'data'], events.map((event) => [event.at, event.type, event.source, event.stream ?? '', JSON.stringify(event.data)]));
        const told = webhooks.map((webhook) => {
          const waiting = webhook.stalled.length === 0 ? '' : `: ${webhook.stalled.length} ${webhook.stalled.length === 1 ? 'stream waits' : 'streams wait'}, last error ${webhook.stalled[0]!.error}`;
          const dropped = webhook.dropped === 0 ? '' : `; ${webhook.dropped.toLocaleString('en-US')} events were too old to be kept and are lost to it`;
          return `webhook ${webhook.url} ${webhook.state === 'ok' ? output.colours.green('ok') : output.colours.red(webhook.state)}${waiting}${dropped}`;
        });
        return [table, ...told].join('\n');
      });
    });
};
