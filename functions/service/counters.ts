/**
 * What /metrics counts. A begin and an end are counted in the same write, a transaction over the items: so each is counted
 * once, whoever dies or does it again.
 */
import { createHash } from 'node:crypto';
import type { FinalStatus } from '../execution/execution.ts';
import { changedItem, type Key, queryItems } from './items.ts';

export interface Counters {
  started: number;
  succeeded: number;
  failed: number;
  cancelled: number;
  /** Attempts of the executions that succeeded. */
  attempts_of_succeeded: number;
  /** Seconds, over all that ended. */
  total_time: number;
  prompt_tokens: number;
  completion_tokens: number;
  /** What the executions cost whose cost was estimated, in US dollars, and how many those are. */
  cost: number;
  costed: number;
  errors: Record<string, number>;
}

/** What of the counters an end adds to, beside the number of such ends and of such errors. */
export type EndCounts = Partial<Omit<Counters, 'started' | FinalStatus | 'errors'>>;

/** Of how many items the counters are the sums. Transactions on one item get in each other's way. */
const COUNTER_ITEMS = 10;

function countersKey(executionId: string): Key {
  const hash = createHash('sha256').update(executionId).digest();
  return { pk: 'SERVICE', sk: `COUNTERS#${hash.readUInt32BE() % COUNTER_ITEMS}` };
}

/** The write that counts what happens to an execution. */
export const countedFor = (executionId: string, add: Record<string, number>) =>
  changedItem(countersKey(executionId), { add });

/** The sums of the items of counters whose sort keys begin with `prefix`. */
async function sumCounters(prefix: string): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  const items = await queryItems<Key & Record<string, number>>({
    KeyConditionExpression: 'pk = :pk AND begins_with(sk, :prefix)',
    ExpressionAttributeValues: { ':pk': 'SERVICE', ':prefix': prefix },
    ConsistentRead: true,
  });
  for (const { pk: _, sk: __, ...counts } of items) {
    for (const [name, number] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + number;
  }
  return sums;
}

/** Executions that are stored and have not ended. An earlier version's counters, which could drift, are left out. */
export async function countOpenExecutions(): Promise<number> {
  const { started = 0, succeeded = 0, failed = 0, cancelled = 0 } = await sumCounters('COUNTERS#');
  return started - succeeded - failed - cancelled;
}

export async function getCounters(): Promise<Counters> {
  const sums = await sumCounters('COUNTERS');
  const sumOf = (name: Exclude<keyof Counters, 'errors'>) => sums[name] ?? 0;
  return {
    started: sumOf('started'),
    succeeded: sumOf('succeeded'),
    failed: sumOf('failed'),
    cancelled: sumOf('cancelled'),
    attempts_of_succeeded: sumOf('attempts_of_succeeded'),
    total_time: sumOf('total_time'),
    prompt_tokens: sumOf('prompt_tokens'),
    completion_tokens: sumOf('completion_tokens'),
    cost: sumOf('cost'),
    costed: sumOf('costed'),
    errors: Object.fromEntries(
      Object.entries(sums)
        .filter(([name]) => name.startsWith('error_'))
        .map(([name, number]) => [name.slice('error_'.length), number]),
    ),
  };
}
