/** The activities of a sync by name: what its workflows import, as a type only. */
import type { PollSyncActivities } from './poll-sync-activities.ts';
import type { RunActivities } from './run-activities.ts';
import type { StreamActivities } from './stream-activities.ts';

export type Activities = RunActivities & StreamActivities & PollSyncActivities;
