/** Compares what was acknowledged with what is there. Every difference is a sentence. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import type * as z from 'zod';
import type { metricsSchema } from '../../functions/api/get-metrics.ts';
import { type Execution, type ExecutionSummary, isFinal } from '../../functions/execution/execution.ts';
import { doAll } from '../../functions/service/do-all.ts';
import type { Acknowledged, Clients } from './clients.ts';
import type { Asked, ChaosModel } from './model.ts';
import type { Task } from './tasks.ts';
import type { Troubles } from './troubles.ts';

export interface Comparison {
  faults: string[];
  acknowledged: number;
  lost: number;
  doubled: number;
  attempts: number;
}

export interface Course {
  url: string;
  tasks: Task[];
  clients: Clients;
  model: ChaosModel;
  troubles: Troubles;
}

/** All that is there: read it, kill the service, and it must read the same. */
export async function readAll(clients: Clients): Promise<Map<string, Execution>> {
  const history = (await clients.history()) ?? [];
  const all = new Map<string, Execution>();
  await doAll(history, async ({ execution_id }) => {
    const execution = await clients.read<Execution>(`/api/executions/${execution_id}`);
    if (execution) all.set(execution_id, execution);
  });
  return all;
}

export async function compare(course: Course): Promise<Comparison> {
  const { clients, tasks } = course;
  const faults: string[] = [];
  const executions = await readAll(clients);
  let lost = 0;
  let doubled = 0;
  for (const task of tasks) {
    const found = [...executions.values()].filter(({ prompt }) => prompt.startsWith(task.name));
    const acknowledged = clients.acknowledged.get(task.name);
    const isExcused = acknowledged && acknowledged.at < course.troubles.lostBefore;
    if (found.length > 1 && !isExcused) {
      doubled += 1;
      faults.push(`${task.name} was started ${found.length} times`);
    }
    if (clients.refused.has(task.name) && found.length > 0)
      faults.push(`${task.name} was refused, and is there`);
    if (!acknowledged) continue;
    const execution = executions.get(acknowledged.execution_id);
    if (execution) faults.push(...(await compareExecution(course, acknowledged, execution)));
    else if (!isExcused) {
      lost += 1;
      faults.push(`${task.name} was acknowledged, and is not there`);
    }
  }
  for (const execution of executions.values()) {
    faults.push(...compareAttempts(course, execution));
    faults.push(...(await compareEvents(course, execution)));
  }
  faults.push(...(await compareCounters(course, [...executions.values()])));
  return {
    faults: [...clients.faults, ...course.troubles.faults, ...faults],
    acknowledged: clients.acknowledged.size,
    lost,
    doubled,
    attempts: [...executions.values()].reduce((sum, { attempts }) => sum + attempts, 0),
  };
}

/** Whether the execution ended as the task lets expect. */
async function compareExecution(
  { url, troubles }: Course,
  { task, cancelled }: Acknowledged,
  execution: Execution,
): Promise<string[]> {
  const { status, error, attempts, final_result } = execution;
  const at = `${task.name} (${execution.execution_id})`;
  // The code or the output that is missing may be what it needed to go on.
  if (troubles.damaged.has(execution.execution_id)) return [];
  if (cancelled) return status === 'cancelled' ? [] : [`${at} was cancelled, and is ${status}`];
  if (status === 'cancelled' && task.cancelAfter !== null) return [];
  const { expected } = task;
  if (status !== expected.status) {
    const last = execution.results.at(-1);
    return [
      `${at} ${task.request.prompt} is ${status} after ${attempts} attempts: ${error}; ${JSON.stringify({ ...last, output: undefined })}`,
    ];
  }
  const faults: string[] = [];
  // A program that was killed, as one is that takes too much, is the program's fault; one of which sandboxes die, too.
  const spoilt = troubles.count('kill a program');
  const least = status === 'failed' ? task.request.max_retries : task.replies.length;
  const most = status === 'failed' ? least : least + spoilt;
  if (attempts < least || attempts > most)
    faults.push(
      `${at} took ${attempts} attempts instead of ${least}: ${execution.results.map(({ error }) => error).join(' | ')}`,
    );
  if (expected.status === 'failed') return faults;
  if (final_result?.output !== expected.output)
    faults.push(`${at} has the output ${JSON.stringify(final_result?.output?.slice(0, 200))}`);
  if (expected.file !== null) {
    const answer = await fetch(`${url}/api/executions/${execution.execution_id}/artifacts/file.txt`);
    const text = await answer.text();
    if (text !== expected.file) faults.push(`${at} has the file ${JSON.stringify(text.slice(0, 200))}`);
  }
  return faults;
}

/** Whether the attempts are whole, as many as may be, and as many as the model was asked for. */
function compareAttempts(
  { model, troubles }: Course,
  { execution_id, prompt, status, attempts, max_retries, results }: Execution,
): string[] {
  const faults: string[] = [];
  const at = `${prompt} (${execution_id})`;
  if (!isFinal(status)) return [`${at} is ${status} for ever`];
  if (results.length !== attempts) faults.push(`${at} counts ${attempts} attempts and has ${results.length}`);
  if (attempts > max_retries) faults.push(`${at} made ${attempts} attempts of ${max_retries}`);
  for (const { attempt, finished_at } of results)
    if (!finished_at) faults.push(`${at} left attempt ${attempt} unfinished`);
  const asked = model.asked.filter(({ task }) => prompt.startsWith(task.name));
  const last = Math.max(0, ...asked.map(({ attempt }) => attempt));
  if (last > attempts) faults.push(`${at} asked for attempt ${last} and has ${attempts}`);
  for (const { attempt, code } of results) {
    const calls = asked.filter((call) => call.attempt === attempt);
    if (code !== null && calls.length === 0) faults.push(`${at} never asked for attempt ${attempt}`);
    const most = 1 + endsBetween(calls, troubles.ends);
    const whole = calls.filter(({ troubled }) => !troubled).length;
    if (whole > most && !troubles.wasFull && troubles.lostBefore < 0)
      faults.push(`${at} asked for attempt ${attempt} ${whole} times, which ${most} explain`);
  }
  return faults;
}

/** How many lives ended while these were asked. */
function endsBetween(calls: Asked[], ends: number[]): number {
  const times = calls.map(({ at }) => at);
  return ends.filter((end) => end > Math.min(...times) && end < Math.max(...times)).length;
}

async function compareEvents({ clients }: Course, execution: Execution): Promise<string[]> {
  const { execution_id, prompt, results } = execution;
  const faults: string[] = [];
  const at = `${prompt} (${execution_id})`;
  const events = await clients.events(execution_id);
  const sequences = events.map(({ sequence }) => sequence);
  if (sequences.some((sequence, index) => sequence !== index + 1))
    faults.push(`${at} has the events ${sequences.join(' ')}`);
  const count = (type: string, attempt?: number) =>
    events.filter(
      (event) =>
        event.type === type && (attempt === undefined || ('attempt' in event && event.attempt === attempt)),
    ).length;
  for (const type of ['execution.started', 'execution.finished'])
    if (count(type) !== 1) faults.push(`${at} has ${count(type)} events ${type}`);
  for (const { attempt } of results) {
    const finished = count('attempt.finished', attempt);
    if (finished !== 1) faults.push(`${at} has ${finished} events attempt.finished of attempt ${attempt}`);
  }
  const end = events.find((event) => event.type === 'execution.finished');
  if (end?.type === 'execution.finished' && end.execution.status !== execution.status)
    faults.push(`${at} is ${execution.status} and was told as ${end.execution.status}`);
  return faults;
}

async function compareCounters({ clients }: Course, executions: ExecutionSummary[]): Promise<string[]> {
  const metrics = await clients.read<z.infer<typeof metricsSchema>>('/api/metrics');
  if (!metrics) return ['/api/metrics does not answer'];
  const all = executions as Execution[];
  const of = (status: string) => all.filter((execution) => execution.status === status);
  const categories: Record<string, number> = {};
  for (const { error_category } of of('failed'))
    categories[String(error_category)] = (categories[String(error_category)] ?? 0) + 1;
  const tokens = (kind: 'prompt_tokens' | 'completion_tokens') =>
    all.reduce((sum, { usage }) => sum + (usage?.[kind] ?? 0), 0);
  const expected = {
    total_executions: all.length,
    succeeded: of('succeeded').length,
    failed: of('failed').length,
    cancelled: of('cancelled').length,
    attempts_of_succeeded: of('succeeded').reduce((sum, { attempts }) => sum + attempts, 0),
    error_categories: categories,
    tokens: { prompt: tokens('prompt_tokens'), completion: tokens('completion_tokens') },
  };
  const { total_executions, succeeded, failed, cancelled, error_categories } = metrics;
  const counted = {
    total_executions,
    succeeded,
    failed,
    cancelled,
    attempts_of_succeeded: Math.round((metrics.average_attempts ?? 0) * succeeded),
    error_categories,
    tokens: metrics.tokens,
  };
  const sorted = (value: object) =>
    JSON.stringify(value, (_, inner) =>
      inner && typeof inner === 'object' ? Object.fromEntries(Object.entries(inner).sort()) : inner,
    );
  return sorted(counted) === sorted(expected)
    ? []
    : [`/api/metrics counts ${sorted(counted)}, the records ${sorted(expected)}`];
}

/** Processes that belong to the data folder, with their command lines. */
export function processesOf(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        const places = [
          readlinkSync(`/proc/${pid}/cwd`),
          readFileSync(`/proc/${pid}/environ`, 'utf8'),
          command,
        ];
        const belongs = places.some((place) => place.includes(folder));
        return belongs && command !== '' ? [`${pid} ${command.replaceAll('\0', ' ').slice(0, 200)}`] : [];
      } catch {
        return [];
      }
    });
}

/** What is in the folders of a service that has ended, and should not be. */
export function leftIn(dataDir: string, temporary: string): string[] {
  const belongs =
    /^(state\.sqlite(-wal|-shm|\.lock)?|credentials\.json|s3|sandboxes|set-aside-[\w-]+|filler)$/;
  const list = (folder: string) => {
    try {
      return readdirSync(folder).map((name) => path.join(folder, name));
    } catch {
      return [];
    }
  };
  return [
    ...list(dataDir).filter((file) => !belongs.test(path.basename(file))),
    ...list(path.join(dataDir, 'sandboxes')),
    ...list(path.join(dataDir, 's3', '.incoming')),
    // What tsx has compiled.
    ...list(temporary).filter((file) => !path.basename(file).startsWith('tsx-')),
  ];
}
