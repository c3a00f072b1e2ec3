import type { RunSummary } from '../activities/messages.ts';
import type { ErrorInfo } from '../schemas/errors.ts';
import { isDone } from '../schemas/run.ts';

/** What the Temporal UI shows of a run that has ended, as Markdown. */
export function summaryTable(summary: RunSummary): string {
  const lines = summary.streams.map((s) => `| ${s.stream} | ${s.status} | ${s.read} | ${s.written} | ${s.unchanged} | ${s.rejected} | ${s.error === null ? '' : `${s.error.code}: ${s.error.message}`} |`);
  return `**${summary.source}**: ${summary.status}\n\n| stream | status | read | written | unchanged | rejected | error |\n|---|---|---:|---:|---:|---:|---|\n${lines.join('\n')}\n`;
}

/** Why a run whose streams did not all complete counts as failed. */
export function notCompleted(summary: RunSummary): ErrorInfo {
  const open = summary.streams.filter((stream) => !isDone(stream));
  const named = open.slice(0, 5).map((stream) => `${stream.stream} ${stream.status}${stream.error === null ? '' : ` (${stream.error.code})`}`);
  return { code: 'run.failed', message: `${open.length} of ${summary.streams.length} streams did not complete: ${named.join(', ')}.`, hint: `tidemark status ${summary.source} has each one's reason and next step.` };
}
