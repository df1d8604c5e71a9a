/** All that the rooms keep in the table, for tests that look into it. */
export * from '../../functions/callers/idempotency.ts';
export * from '../../functions/callers/key-records.ts';
export * from '../../functions/events/feed.ts';
export * from '../../functions/execution/records.ts';
export * from '../../functions/sandbox/isolation.ts';
export * from '../../functions/sandbox/records.ts';
export * from '../../functions/service/counters.ts';

import type { QuotaRecord } from '../../functions/callers/quotas.ts';
import type { EventData } from '../../functions/events/events.ts';
import { Feed } from '../../functions/events/feed.ts';
import type { AttemptStatus } from '../../functions/execution/execution.ts';
import {
  type AttemptRecord,
  canBecome,
  changeAttempt,
  type ExecutionRecord,
  getAttempt,
  sandboxAssignment,
} from '../../functions/execution/records.ts';
import { type SandboxRecord, sandboxClaim, sandboxReady } from '../../functions/sandbox/records.ts';
import { readItem, writeTogether } from '../../functions/service/items.ts';

/** An execution that has just been stored, as far as a test does not say otherwise. */
export const newExecutionRecord = (
  changes: Pick<ExecutionRecord, 'execution_id'> & Partial<ExecutionRecord>,
): ExecutionRecord => ({
  owner: 'somebody',
  status: 'queued',
  prompt: 'x',
  tests: null,
  max_retries: 2,
  timeout: 30,
  policy: 'strict',
  model: 'm',
  attempts: 0,
  error: null,
  error_category: null,
  created_at: new Date().toISOString(),
  finished_at: null,
  ticket: 'ticket',
  usage: null,
  ...changes,
});

/** Moves an attempt as it stands, without telling. @throws if it cannot become that, or is in another run */
export async function moveAttempt(
  { execution_id, attempt, run }: AttemptRecord,
  status: AttemptStatus,
  set: Partial<AttemptRecord> = {},
): Promise<AttemptRecord> {
  const current = await getAttempt(execution_id, attempt);
  if (!current || current.run !== run || !canBecome(current, status))
    throw new Error('Its condition is not met.');
  const { ours, record } = await changeAttempt(current, { ...set, status });
  if (!ours) throw new Error('Another was first.');
  return record;
}

export const appendEvent = async (id: string, data: EventData) => (await Feed.open(id)).publish([data]);

/** Whether it was done. */
export const setSandboxReady = async (id: string, facts: Pick<SandboxRecord, 'isolation' | 'packages'>) =>
  (await writeTogether([sandboxReady(id, facts)])).size === 0;

/** Whether it was done. */
export const claimSandbox = async (id: string, executionId: string) =>
  (await writeTogether([sandboxClaim(id, executionId)])).size === 0;

export const assignSandbox = (execution: ExecutionRecord, sandboxId: string) =>
  writeTogether([sandboxAssignment(execution, sandboxId)]);

export const getQuota = (owner: string) => readItem<QuotaRecord>({ pk: `QUOTA#${owner}`, sk: 'QUOTA' });
