/** The run that carries an approved step out at once, where there is a Temporal and a worker to do it. */
import { findApproval, type Approval } from '../destinations/postgres/approvals.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import { connectTemporal, locateTemporal, type TemporalConnection } from '../runtime/temporal-client.ts';
import { TidemarkError, type ErrorInfo } from '../schemas/errors.ts';
import type { Place } from './open.ts';
import { startSyncs, type StartedSync } from './sync.ts';
import { requireWorker } from './workers.ts';

/** `temporal` is the caller's to close. */
export type ApprovedRun = { readonly started: readonly StartedSync[]; readonly temporal: TemporalConnection } | { readonly unavailable: ErrorInfo };

/** `unavailable`: nobody is there to run it now; the decision stands, and the stream's next run carries it out. */
export async function startApproved(place: Place, { source, stream }: Approval): Promise<ApprovedRun> {
  try {
    const temporal = await connectTemporal(locateTemporal(place.dataDir));
    try {
      await requireWorker(temporal);
      return { temporal, started: await startSyncs(temporal.client, { sources: [source], streams: [stream], full: false }) };
    } catch (error) {
      await temporal.close();
      throw error;
    }
  } catch (error) {
    if (!(error instanceof TidemarkError) || !error.code.startsWith('temporal.')) throw error;
    return { unavailable: error.info() };
  }
}

/** The step as it stands after its run. */
export async function readStep(destination: Destination, approval: Approval): Promise<Approval> {
  return (await destination.session('reading a planned step', (session) => findApproval(session, approval.id))) ?? approval;
}
