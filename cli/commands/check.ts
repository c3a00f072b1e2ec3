import type { CheckReport, CheckResult } from '../../control/check.ts';
import type { CliContext, Register } from '../context.ts';
import { placeOf } from '../place.ts';

export const register: Register = (program, context) => {
  program
    .command('check')
    .argument('[source...]', 'sources to check (default: all of the file)')
    .description('connect to each source and the destination: server, version, user, database, time zone, response time, privileges')
    .action(async (sources: string[]) => {
      const { readFile, variablesOf } = await import('../../control/open.ts');
      const { checkEnds } = await import('../../control/check.ts');
      const place = await placeOf(context);
      const signal = context.signal();
      const { settings } = await readFile(place, false);
      const report = await checkEnds(settings, sources, { variables: variablesOf(place), signal });
      if (signal.aborted) return context.exitWith(130);
      context.exitWith(exitOf(report));
      await context.output.result({ ok: exitOf(report) === 0, ...report }, () => checkText(context, report));
    });
};

/** Without its destination no source can be synced, so that wins over any source that failed. Where all that is wrong is a driver, it is this machine that lacks something. */
function exitOf(report: CheckReport): 0 | 1 | 3 {
  if (report.destination?.isConnected === false) return 3;
  if (report.failedSources === 0) return 0;
  return report.results.every(({ error }) => error === null || error.code === 'source.driver_missing') ? 3 : 1;
}

async function checkText(context: CliContext, report: CheckReport): Promise<string> {
  const { colours } = context.output;
  const ends = [...report.results, ...(report.destination === null ? [] : [report.destination])];
  const table = await context.output.table(['source', 'kind', 'connected', 'ms', 'server', 'database', 'user', 'time zone'], ends.map((end) => cells(context, end)));
  const failed = report.failedSources === 0 ? colours.green('all answer') : colours.red(`${report.failedSources} failed`);
  return [
    table,
    ...report.warnings.map((warning) => `${colours.yellow('warning')} ${warning.source ?? 'destination'}: ${warning.message}`),
    ...report.notes.map((note) => `note ${note.source ?? 'destination'}: ${note.message}`),
    ...ends.flatMap(({ id, error }) => (error === null ? [] : [`${colours.red('failed')} ${id}: ${error.code}. ${error.message}${error.hint === null ? '' : ` ${error.hint}`}`])),
    `${report.connectedSources} of ${report.totalSources} ${report.totalSources === 1 ? 'source' : 'sources'} connected, ${failed}`,
  ].join('\n');
}

function cells(context: CliContext, { id, kind, isConnected, responseTimeMs, server }: CheckResult): string[] {
  const { colours } = context.output;
  const facts = server === null ? ['', '', '', ''] : [`${server.product} ${server.version}`, server.database, server.user, server.timezone];
  return [id, kind, isConnected ? colours.green('yes') : colours.red('no'), String(responseTimeMs), ...facts];
}
