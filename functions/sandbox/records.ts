/** Sandboxes as they are stored. Their life is told in sandboxes.ts. */
import {
  changedItem,
  changeItem,
  createItem,
  expiryIn,
  type ItemWrite,
  type Key,
  newItem,
  queryWork,
  readItem,
  requiredItem,
} from '../service/items.ts';

export type SandboxStatus = 'starting' | 'ready' | 'stopped';

/** Of ECS. Spot costs a third, and a task may be stopped at any time. */
export type CapacityProvider = 'FARGATE' | 'FARGATE_SPOT';

export interface SandboxRecord {
  sandbox_id: string;
  status: SandboxStatus;
  created_at: string;
  /** When its presigned URLs end. */
  expires_at: string;
  execution_id?: string;
  /** What its task is asked of first. */
  capacity_provider?: CapacityProvider;
  task_arn?: string;
  /** It did not end by itself, nor by what ran in it: its machine was taken away. */
  withdrawn?: boolean;
  start_tries: number;
  isolation?: Record<string, string>;
  /** Its Python's version. */
  python?: string;
  packages?: string[];
  /** Seconds from the start of its program to its being ready. */
  started_in?: number;
}

const sandboxKey = (id: string): Key => ({ pk: `SANDBOX#${id}`, sk: 'SANDBOX' });
const ALIVE: SandboxStatus[] = ['starting', 'ready'];

/** Without an `execution_id` the sandbox is one of the warm pool. */
const fieldsOf = (record: SandboxRecord) => ({
  ...record,
  ...(record.execution_id === undefined && { work: 'warm', work_at: record.created_at }),
  expires: expiryIn(),
});

export const newSandbox = (record: SandboxRecord): ItemWrite =>
  newItem(sandboxKey(record.sandbox_id), fieldsOf(record));

export async function createSandbox(record: SandboxRecord): Promise<void> {
  await createItem(sandboxKey(record.sandbox_id), fieldsOf(record));
}

export const getSandbox = (id: string) => readItem<SandboxRecord>(sandboxKey(id));

/** In a transaction: the sandbox must not have stopped. */
export const livingSandbox = (id: string): ItemWrite => requiredItem(sandboxKey(id), { status: ALIVE });

/** Notes the ECS task of a sandbox, unless it has stopped already. */
export const setSandboxTask = (id: string, taskArn: string) =>
  changeItem<SandboxRecord>(sandboxKey(id), { set: { task_arn: taskArn }, where: { status: ALIVE } });

/** Counts a start that was tried. */
export const countSandboxStart = (id: string) =>
  changeItem<SandboxRecord>(sandboxKey(id), { add: { start_tries: 1 }, where: {} });

/** The write of what a sandbox tells of itself, unless it was ready before, or has stopped. */
export const sandboxReady = (
  id: string,
  facts: Pick<SandboxRecord, 'isolation' | 'python' | 'packages' | 'started_in'>,
): ItemWrite =>
  changedItem(sandboxKey(id), { set: { ...facts, status: 'ready' }, where: { status: ['starting'] } });

/** The write that takes a ready, never-used sandbox for an execution, unless another was first or it has stopped. */
export const sandboxClaim = (id: string, executionId: string): ItemWrite =>
  changedItem(sandboxKey(id), {
    set: { execution_id: executionId },
    remove: ['work', 'work_at'],
    where: { status: ['ready'], execution_id: undefined },
  });

/** Unless it has stopped before; with `unclaimed` only one of the warm pool. */
export const setSandboxStopped = (id: string, { unclaimed = false, withdrawn = false } = {}) =>
  changeItem<SandboxRecord>(sandboxKey(id), {
    set: { status: 'stopped', withdrawn: withdrawn || undefined },
    remove: ['work', 'work_at'],
    where: { status: ALIVE, ...(unclaimed && { execution_id: undefined }) },
  });

/** The warm pool: sandboxes that no execution has claimed, starting ones too, oldest first. */
export const listWarmSandboxes = () => queryWork<SandboxRecord>('warm');
