import type { Approval } from '../../control/approvals.ts';
import type { StreamReport } from '../../control/status.ts';
import type { StreamStatus } from '../../schemas/run.ts';
import type { CliContext, Register } from '../context.ts';
import { placeOf } from '../place.ts';

const NOTHING_APPLIED = 'Nothing is applied yet: run tidemark apply.';

export const register: Register = (program, context) => {
  program
    .command('status')
    .argument('[source]', 'a source (default: all)')
    .description('each stream: state, watermark, lag, last run, rows, errors with the next step')
    .action(async (source: string | undefined) => {
      const { withDestination } = await import('../../control/open.ts');
      const { listStatus } = await import('../../control/status.ts');
      const { listWaitingSteps } = await import('../../control/approvals.ts');
      const place = await placeOf(context);
      const [streams, approvals] = await withDestination(place, async (destination) => [await listStatus(destination, source ?? null), await listWaitingSteps(destination, source ?? null)] as const);
      const hint = streams.length === 0 ? { hint: NOTHING_APPLIED } : {};
      await context.output.result({ ok: true, streams, approvals, ...hint }, () => (streams.length === 0 ? NOTHING_APPLIED : statusText(context, streams, approvals)));
    });
};

async function statusText(context: CliContext, streams: readonly StreamReport[], approvals: readonly Approval[]): Promise<string> {
  const { output } = context;
  const { colours } = output;
  const table = await output.table(
    ['source', 'stream', 'status', 'watermark', 'guarantee', 'lag', 'last run', 'read', 'written', 'rows'],
    streams.map((each) => [
      each.source, each.stream, coloured(context, each.status), each.watermark ?? '', each.guarantee ?? '', each.lagSeconds === null ? '' : lagText(each.lagSeconds),
      each.lastRun?.at.replace(/\.\d+Z$/, 'Z') ?? '', grouped(each.lastRun?.read), grouped(each.lastRun?.written), `${each.rowsExact || each.rows === null ? '' : '~'}${grouped(each.rows)}`,
    ]),
  );
  const remarks = streams.flatMap(({ source, stream, status, warnings, error, next }) => [
    ...warnings.map((warning) => `${colours.yellow('warning')} ${source} ${stream}: ${warning}`),
    ...(error === null ? [] : [`${coloured(context, status)} ${source} ${stream}: ${error.code}. ${error.message}${error.hint === null ? '' : ` ${error.hint}`}`]),
    ...(error === null && next !== null ? [`${coloured(context, status)} ${source} ${stream}: next: ${next}`] : []),
  ]);
  const steps = approvals.map(({ id, source, stream, action, detail }) => `${colours.yellow('decide')} ${source} ${stream}: ${action}. ${detail} tidemark approve ${id}, or tidemark reject ${id}`);
  return [table, ...remarks, ...steps].join('\n');
}

function coloured(context: CliContext, status: StreamStatus): string {
  const { colours } = context.output;
  if (status === 'completed') return colours.green(status);
  if (status === 'parked' || status === 'history_lost') return colours.red(status);
  return status === 'running' || status === 'disabled' ? status : colours.yellow(status);
}

function grouped(count: number | null | undefined): string {
  return count?.toLocaleString('en-US') ?? '';
}

/** `4.2 s`, `12 min`, `3 h`, `2 d`. */
export function lagText(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 2 * 3_600) return `${Math.round(seconds / 60)} min`;
  return seconds < 2 * 86_400 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}
