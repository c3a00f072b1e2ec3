/** What events there are, by name. Never renamed. */
export const EVENT_TYPES = [
  'DataSynced', 'BatchRejected', 'SchemaChanged', 'StreamParked', 'StreamResumed', 'FreshnessMissed', 'FreshnessRestored',
  'ApprovalRequested', 'DeletesApplied', 'RetentionApplied', 'DifferencesFound', 'BreakerOpened', 'BreakerClosed',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];
