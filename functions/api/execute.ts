/**
 * POST /execute: if Python can read the tests and the caller's quotas allow, stores the execution, starts its workflow and, unless asked not to,
 * waits a while for the end. With `resumes` it goes on from one that the service failed: see execution/resume.ts.
 *
 *   Prefer: wait=N          (RFC 7240) answers 200 if it ends within N seconds (at most 25; default 20), else 202
 *   Prefer: respond-async   answers 202 at once
 *   Idempotency-Key: K      the same key and body give the same execution, for a day
 *
 * What fails after the execution is stored is no error to the caller, who would start another: it is taken on, and the
 * upkeep launches what was not.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { claimIdempotencyKey } from '../callers/idempotency.ts';
import { letIn } from '../callers/quotas.ts';
import { hasEnded } from '../events/feed.ts';
import {
  type ExecuteRequest,
  type Execution,
  executeRequestSchema,
  isFinal,
  type ResumeRequest,
  resumeRequestSchema,
} from '../execution/execution.ts';
import { launchExecution, storeExecution } from '../execution/lifecycle.ts';
import { joinLine } from '../execution/line.ts';
import {
  type AttemptRecord,
  type ExecutionRecord,
  getExecution,
  readSnapshot,
} from '../execution/records.ts';
import { readResumable, takeOver } from '../execution/resume.ts';
import { viewAsStored, viewOfExecution } from '../execution/views.ts';
import { type ApiRequest, type ApiResponse, apiHandler, checkInput } from '../http/middleware.ts';
import { modelProblem } from '../model/key.ts';
import { checkTests } from '../sandbox/check-tests.ts';
import { config } from '../service/config.ts';
import { Problem } from '../service/errors.ts';
import { logger } from '../service/logger.ts';
import { lookFor } from '../service/look-for.ts';

const DEFAULT_WAIT = 20;
/** Seconds; API Gateway gives up after 30. */
const MAX_WAIT = 25;
/** Looks at the feed, a cheap read, are so far apart at most: the answer is hardly later than the end. */
const END_PATIENCE = { firstPause: 20, longestPause: 100 };
const MAX_KEY_LENGTH = 200;

export const handler = apiHandler(async (request) => {
  // From here on, for API Gateway waits from here on.
  const begun = performance.now();
  const preference = parsePrefer(request.headers.prefer);
  const stored = await begin(request, readRequest(request.json()));
  const execution = await describe(stored, begun + preference.wait * 1000).catch((error) => {
    logger.error('not told how it stands', { execution_id: stored.execution_id, error: String(error) });
    return viewAsStored(stored);
  });
  return {
    status: isFinal(execution.status) ? 200 : 202,
    body: execution,
    headers: {
      location: `/api/executions/${execution.execution_id}`,
      ...(preference.applied && { 'preference-applied': preference.applied }),
    },
  } satisfies ApiResponse;
});

type Request = ExecuteRequest | ResumeRequest;

const isResumption = (body: unknown) => typeof body === 'object' && body !== null && 'resumes' in body;

/** @throws Problem */
function readRequest(body: unknown): Request {
  return isResumption(body) ? checkInput(resumeRequestSchema, body) : checkInput(executeRequestSchema, body);
}

async function begin({ owner, headers }: ApiRequest, body: Request): Promise<ExecutionRecord> {
  if (body.tests !== undefined) await checkTests(body.tests);
  const key = headers['idempotency-key'];
  const id = key ? await idForKey(owner, key, body) : randomUUID();
  const execution =
    (key && (await getExecution(id))) || (await store(...(await newExecution(owner, id, body))));
  // If the same request came before, it may have got no further than to store the execution.
  if (execution.status === 'queued') {
    await launchExecution(execution).catch((error) => {
      logger.error('not launched', { execution_id: id, error: String(error) });
    });
  }
  return execution;
}

/** The execution as it is when it ends, or at the deadline (of `performance.now()`). */
async function describe(stored: ExecutionRecord, deadline: number): Promise<Execution> {
  const { execution_id } = stored;
  const limit = isFinal(stored.status) ? 0 : deadline - performance.now();
  await lookFor(async () => (await hasEnded(execution_id)) || null, { ...END_PATIENCE, limit });
  const snapshot = await readSnapshot(execution_id);
  return snapshot ? viewOfExecution(snapshot) : viewAsStored(stored);
}

/** @throws Problem if the model, the line or the caller's quotas do not allow it: then nothing is stored. */
async function store(record: ExecutionRecord, taken: AttemptRecord[]): Promise<ExecutionRecord> {
  const problem = await modelProblem();
  if (problem) throw new Problem(503, 'no-model-key', 'No model key', problem);
  const stored = await joinLine(async () => {
    await letIn(record.owner, record.execution_id);
    return storeExecution(record, taken);
  });
  // The same request may have come at the same time.
  return stored.record ?? record;
}

async function idForKey(owner: string, key: string, body: Request) {
  if (key.length > MAX_KEY_LENGTH || !/^[\x21-\x7e]+$/.test(key)) {
    const detail = `Idempotency-Key must have 1 to ${MAX_KEY_LENGTH} printable ASCII characters.`;
    throw new Problem(400, 'invalid-request', 'Invalid request', detail);
  }
  const fingerprint = createHash('sha256').update(JSON.stringify(body)).digest('hex');
  const claim = await claimIdempotencyKey(owner, key, { execution_id: randomUUID(), fingerprint });
  if (claim.fingerprint === fingerprint) return claim.execution_id;
  throw new Problem(
    422,
    'idempotency-key-reused',
    'Idempotency-Key reused',
    'This Idempotency-Key came with another body before. Use a new key for a new request.',
  );
}

/** What is to be stored: the execution, and the attempts that it takes over. @throws Problem */
async function newExecution(
  owner: string,
  id: string,
  body: Request,
): Promise<[ExecutionRecord, AttemptRecord[]]> {
  if (!('resumes' in body)) return [newRecord(owner, id, body), []];
  const { earlier, kept } = await readResumable(owner, body.resumes);
  const { prompt, tests, max_retries, timeout, policy } = earlier;
  const record = newRecord(owner, id, { prompt, tests: tests ?? undefined, max_retries, timeout, policy });
  return [
    { ...record, resumes: earlier.execution_id, attempts: kept.length },
    kept.map((attempt) => takeOver(attempt, id)),
  ];
}

function newRecord(owner: string, id: string, body: ExecuteRequest): ExecutionRecord {
  return {
    execution_id: id,
    owner,
    status: 'queued',
    prompt: body.prompt,
    tests: body.tests ?? null,
    max_retries: body.max_retries ?? config.maxRetries,
    timeout: body.timeout ?? config.executionTimeout,
    policy: body.policy ?? config.policy,
    model: config.modelName,
    attempts: 0,
    error: null,
    error_category: null,
    created_at: new Date().toISOString(),
    finished_at: null,
    ticket: randomBytes(18).toString('base64url'),
    usage: null,
  };
}

/** RFC 7240: what cannot be understood is ignored. */
function parsePrefer(header = ''): { wait: number; applied?: string } {
  const preferences = header.split(',').map((preference) => preference.split(';')[0]?.trim().toLowerCase());
  if (preferences.includes('respond-async')) return { wait: 0, applied: 'respond-async' };
  for (const preference of preferences) {
    const seconds = /^wait\s*=\s*"?(\d+)"?$/.exec(preference ?? '')?.[1];
    if (seconds) {
      const wait = Math.min(Number(seconds), MAX_WAIT);
      return { wait, applied: `wait=${wait}` };
    }
  }
  return { wait: DEFAULT_WAIT };
}
