import type { WaitingRow } from '../../control/quarantine.ts';
import type { Register } from '../context.ts';
import { placeOf } from '../place.ts';

const LIMIT = '100';

export const register: Register = (program, context) => {
  const quarantine = program.command('quarantine').description('rejected rows with their reasons; replay after a fix');

  const reading = (name: string, description: string, columns: readonly string[], cells: (row: WaitingRow) => string[], shown: (row: WaitingRow) => object) =>
    quarantine
      .command(name)
      .argument('<source>', 'a source')
      .argument('<stream>', 'one of its streams, by its name in the file')
      .description(description)
      .option('--limit <n>', 'how many, newest first', LIMIT)
      .action(async (source: string, stream: string, options: { limit: string }) => {
        const { withDestination } = await import('../../control/open.ts');
        const { parseLimit } = await import('../../control/history.ts');
        const { readQuarantine } = await import('../../control/quarantine.ts');
        const limit = parseLimit(options.limit);
        const { waiting, rows } = await withDestination(await placeOf(context), (destination) => readQuarantine(destination, source, stream, limit));
        await context.output.result({ ok: true, source, stream, waiting, rows: rows.map(shown) }, async () => {
          if (rows.length === 0) return 'No row waits.';
          return context.output.table([...columns], rows.map(cells));
        });
      });

  reading('list', 'rows that wait, with the reasons, without their values', ['id', 'batch', 'reasons', 'since'], (row) => [String(row.id), String(row.batch), reasonsOf(row), row.createdAt], ({ row: _values, ...rest }) => rest);
  reading('show', 'rows that wait, with reasons and values', ['id', 'reasons', 'values'], (row) => [String(row.id), reasonsOf(row), JSON.stringify(row.row)], (row) => row);

  quarantine
    .command('replay')
    .argument('<source>', 'a source')
    .argument('<stream>', 'one of its streams, by its name in the file')
    .description("runs the waiting rows again through today's types and rules; good ones are loaded, bad ones go on waiting")
    .action(async (source: string, stream: string) => {
      const { withDestination } = await import('../../control/open.ts');
      const { replayAsApplied } = await import('../../control/quarantine.ts');
      const { settleStream } = await import('../../control/settle-stream.ts');
      const place = await placeOf(context);
      const replayed = await withDestination(place, (destination) =>
        replayAsApplied(destination, source, stream, async () => {
          await context.output.note(`The settings of ${source} ${stream} were applied after its last sync, so it is synced first.`);
          await settleStream(place, destination, source, stream);
        }));
      await context.output.result({ ok: replayed.rejected === 0, source, stream, ...replayed }, () =>
        `${replayed.read} replayed: ${replayed.written} written, ${replayed.unchanged} unchanged, ${replayed.superseded} superseded, ${replayed.rejected} still rejected. ${replayed.waiting} wait.`);
      if (replayed.rejected > 0) context.exitWith(1);
    });
};

function reasonsOf(row: WaitingRow): string {
  return row.reasons.map(({ column, code }) => (column === null ? code : `${column}: ${code}`)).join(', ');
}
