/** The keys of the table and its indexes, from which infra deploys it and the local runtime creates it; all strings. */
export const table = {
  partitionKey: 'pk',
  sortKey: 'sk',
  timeToLive: 'expires',
  /** Both hold whole items. Only items that have both attributes are in an index. */
  indexes: [
    /** an owner's executions by time */
    { name: 'history', partitionKey: 'history', sortKey: 'history_at' },
    /** what is looked up by its kind: queued executions and warm sandboxes by the upkeep, keys by the command line */
    { name: 'work', partitionKey: 'work', sortKey: 'work_at' },
  ],
} as const;
