/** All activities by name: what workflows import, as a type only. */
import type { RunActivities } from './run-activities.ts';
import type { StreamActivities } from './stream-activities.ts';

export type Activities = RunActivities & StreamActivities;
