/** What a stream's workflow shows of itself in Temporal's UI: Markdown. */
import type { StreamCounts } from '../schemas/run.ts';

export function streamDetails(stream: string, doing: string, { read, written, unchanged, rejected, batches }: StreamCounts): string {
  return `**${stream}**: ${doing}\n\n| batches | read | written | unchanged | rejected |\n|---:|---:|---:|---:|---:|\n| ${[batches, read, written, unchanged, rejected].map(grouped).join(' | ')} |\n`;
}

export function rows(count: number): string {
  return `${grouped(count)} rows`;
}

function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}
