/** Whether a run of a stream ends with a scan for deleted rows. */
import { listDueScans } from '../../destinations/postgres/delete-scans.ts';
import type { Session } from '../../destinations/postgres/session.ts';
import type { StreamSettings } from '../../schemas/settings.ts';
import type { Prepared } from '../prepare.ts';
import type { StreamPlan } from '../stream-plan.ts';

/** What a run is told of a scan; `scan` is absent where there is none. */
export interface ScanDecision {
  readonly scan?: true;
  readonly notes: readonly string[];
}

/**
 * A full build has just read every row, so a scan that is merely due can wait; one that was asked for covers parts that an earlier run copied.
 * `asked`: a person wants it now.
 */
export async function decideScan(session: Session, plan: StreamPlan, prepared: Prepared, asked: boolean): Promise<ScanDecision> {
  const { notes } = prepared;
  const everySeconds = plan.deletes?.detect === 'scan' ? plan.deletes.everySeconds : undefined;
  if (everySeconds === undefined) return { notes: asked ? [...notes, NO_SCAN] : notes };
  if (plan.strategy === 'rebuild' || plan.key.length === 0) return { notes };
  if (asked) return { scan: true, notes };
  if (prepared.action === 'build') return { notes };
  const due = await listDueScans(session, plan.source, [{ stream: plan.stream, everySeconds }]);
  return due.length > 0 ? { scan: true, notes } : { notes };
}

/** Said of a stream that --detect-deletes has nothing to do for. */
export const NO_SCAN = 'it has no deletes: { detect: scan }, so --detect-deletes does nothing here';

export interface ScannedStream {
  readonly stream: string;
  readonly settings: StreamSettings;
}

/** Streams that are run for the sake of their scan even where nothing is new. */
export async function listScansToRun(session: Session, source: string, streams: readonly ScannedStream[], asked: boolean): Promise<string[]> {
  const scanned = streams.flatMap(({ stream, settings }) => (settings.deletes?.detect === 'scan' ? [{ stream, everySeconds: settings.deletes.everySeconds }] : []));
  return asked ? scanned.map(({ stream }) => stream) : listDueScans(session, source, scanned);
}
