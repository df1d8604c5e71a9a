/**
 * The domain: an execution is one prompt and all that is done for it; an attempt is one round inside it
 * (generate, check, run).
 *
 *   execution   queued ─► running ─► succeeded | failed
 *                  └─────────┴─────► cancelled
 *
 *   attempt     generating ─► checking ─► waiting ─► running ─► succeeded
 *                    └────────────┴──────────┴──────────┴─────► failed | cancelled
 *
 * `waiting` is: the job is in the mailbox and the sandbox has not begun it yet. A sandbox that dies puts the
 * attempt back from `running` to `waiting`: the same code is run again in another sandbox. Every change is a
 * conditional write on the status before it, so a late or repeated message changes nothing.
 */
import * as z from 'zod';
import { RESUMABLE_DAYS } from './attempts.ts';

const MIB = 1024 * 1024;

export const LIMITS = {
  /** characters of a prompt */
  prompt: 20_000,
  /** characters of tests */
  tests: 20_000,
  /** characters of code that a model may write */
  code: 60_000,
  maxRetries: 10,
  /** seconds of one attempt */
  timeout: 300,
  /** Files that an attempt may hand over: how many, bytes of one and of all, characters of a name. */
  artifacts: { files: 20, fileBytes: 10 * MIB, totalBytes: 25 * MIB, name: 200 },
  /** Files that an execution may be given: the same, and bytes of a name in UTF-8, which file systems limit. */
  inputs: { files: 20, fileBytes: 100 * MIB, totalBytes: 250 * MIB, name: 200, nameBytes: 255 },
  /** sandboxes that may be lost with an attempt: while its program runs, and before; those that we end do not count */
  losses: 3,
  /** sandboxes that may be lost in one execution, over all its attempts: a workflow has so many steps and no more */
  lossesInAll: 10,
  /** starts that are tried for one sandbox before the execution is given up; the workflow waits between them */
  sandboxStarts: 8,
} as const;

/**
 * A text of at most `max` characters (code points, as Python and JSON Schema count them). Halves of surrogate pairs,
 * which neither UTF-8 nor the store can hold, become replacement characters.
 */
export const text = (max: number) =>
  z
    .string()
    .overwrite((value) => value.toWellFormed())
    .refine((value) => value.length <= max || [...value].length <= max, `must have at most ${max} characters`)
    .meta({ maxLength: max });

/** Seconds. What was measured by a clock that was set back meanwhile reads as none. */
const duration = z
  .number()
  .overwrite((seconds) => Math.max(0, seconds))
  .min(0);

export const policySchema = z.enum(['strict', 'standard']).meta({
  description:
    'The rules that code must pass before it is run. `strict`: no os, sys, subprocess, open, eval, … ' +
    '`standard`: all but network, processes, native code, a display and a user: the sandbox has none.',
});
export type Policy = z.infer<typeof policySchema>;

export const executeRequestSchema = z
  .strictObject({
    prompt: z
      .string({ error: 'must be a string: the task in plain language' })
      .max(LIMITS.prompt, `must have at most ${LIMITS.prompt} characters`)
      .refine((prompt) => prompt.trim().length > 0, 'must not be empty: say what the program should do'),
    max_retries: z
      .int({ error: 'must be a whole number' })
      .min(1, 'must be at least 1')
      .max(LIMITS.maxRetries, `must be at most ${LIMITS.maxRetries}`)
      .optional()
      .meta({
        description: 'How many attempts are allowed in all. Default: MAX_RETRIES of the service (5).',
      }),
    timeout: z
      .number({ error: 'must be a number of seconds' })
      .positive('must be more than 0 seconds')
      .max(LIMITS.timeout, `must be at most ${LIMITS.timeout} seconds`)
      .optional()
      .meta({ description: 'Seconds one attempt may run. Default: EXECUTION_TIMEOUT of the service (30).' }),
    tests: z
      .string({ error: 'must be a string of Python' })
      .max(LIMITS.tests, `must have at most ${LIMITS.tests} characters`)
      .optional()
      .meta({
        description:
          'Python that is run after the code and sees its names: assertions, functions named test_*, classes of unittest or pytest.',
      }),
    policy: policySchema.optional(),
  })
  .meta({ id: 'ExecuteRequest' });
export type ExecuteRequest = z.infer<typeof executeRequestSchema>;

const comesFromThere = z
  .never({ error: 'is taken from the execution that is resumed: leave it out' })
  .optional();
const takenFields = Object.fromEntries(
  Object.keys(executeRequestSchema.shape).map((field) => [field, comesFromThere]),
) as Record<keyof ExecuteRequest, typeof comesFromThere>;

export const resumeRequestSchema = z
  .strictObject({
    resumes: z.string({ error: 'must be a string: the execution_id of the execution to go on from' }).meta({
      description:
        'The execution_id of one that failed by a fault of the service (`model_error`, `sandbox_error`). The new ' +
        'execution has its task and settings and begins with the attempts that were done, as far as they are not ' +
        `older than ${RESUMABLE_DAYS} days and leave one to be made; else it begins anew.`,
    }),
    ...takenFields,
  })
  .meta({ id: 'ResumeRequest' });
export type ResumeRequest = z.infer<typeof resumeRequestSchema>;

export const executionStatusSchema = z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']);
export type ExecutionStatus = z.infer<typeof executionStatusSchema>;
export type FinalStatus = Exclude<ExecutionStatus, 'queued' | 'running'>;

export const attemptStatusSchema = z.enum([
  'generating',
  'checking',
  'waiting',
  'running',
  'succeeded',
  'failed',
  'cancelled',
]);
export type AttemptStatus = z.infer<typeof attemptStatusSchema>;

export const errorCategorySchema = z.enum([
  'syntax_error',
  'policy_violation',
  'exception',
  'test_failure',
  'timeout',
  'memory',
  'no_code',
  'model_error',
  'sandbox_error',
]);
export type ErrorCategory = z.infer<typeof errorCategorySchema>;

export const usageSchema = z
  .object({ prompt_tokens: z.int().min(0), completion_tokens: z.int().min(0), total_tokens: z.int().min(0) })
  .meta({ id: 'Usage', description: 'Tokens as the model server counted them.' });
export type Usage = z.infer<typeof usageSchema>;

export const violationSchema = z
  .object({
    line: z.int().min(1),
    rule: text(100),
    message: text(1_000).meta({ description: 'What is wrong and what to use instead.' }),
  })
  .meta({ id: 'Violation' });
export type Violation = z.infer<typeof violationSchema>;

export const artifactSchema = z
  .object({
    name: z.string().meta({ description: 'Path relative to the working folder, with /.' }),
    size: z.int().min(0).meta({ description: 'bytes' }),
    content_type: z.string(),
  })
  .meta({ id: 'Artifact' });
export type Artifact = z.infer<typeof artifactSchema>;

export const skippedArtifactSchema = z
  .object({
    name: z.string().meta({ description: 'As far as it can be shown: for people, not for requests.' }),
    reason: z.string().meta({ description: 'Such as `larger than 10 MB`.' }),
  })
  .meta({ id: 'SkippedArtifact' });
export type SkippedArtifact = z.infer<typeof skippedArtifactSchema>;

export const attemptSchema = z
  .object({
    attempt: z.int().min(1),
    total_attempts: z
      .int()
      .min(1)
      .meta({ description: 'The attempts this execution may make (max_retries).' }),
    status: attemptStatusSchema,
    success: z.boolean(),
    code: z.string().nullable(),
    output: z
      .string()
      .nullable()
      .meta({ description: 'stdout and stderr in order; the middle is cut out if long.' }),
    output_truncated: z.boolean(),
    error: z.string().nullable().meta({ description: 'One sentence, such as `ValueError: …`.' }),
    error_category: errorCategorySchema.nullable(),
    error_line: z.int().min(1).nullable().meta({ description: 'Line of the code, 1-based.' }),
    traceback: z.string().nullable(),
    violations: z.array(violationSchema),
    standard_permits: z.boolean().default(false).meta({
      description: 'It was refused by policy `strict` only: under `standard` this very code is run.',
    }),
    execution_time: duration.nullable().meta({ description: 'Seconds the code ran.' }),
    exit_code: z
      .int()
      .nullable()
      .default(null)
      .meta({ description: 'Of its process; null if it was ended by a signal or was not run.' }),
    signal: z
      .string()
      .nullable()
      .default(null)
      .meta({ description: 'That ended its process, such as `SIGSEGV`.' }),
    peak_memory_bytes: z.int().min(0).nullable().default(null),
    artifacts: z.array(artifactSchema).meta({
      description:
        `Files that the code left: at most ${LIMITS.artifacts.files}, of ${LIMITS.artifacts.fileBytes / MIB} MB ` +
        `each and ${LIMITS.artifacts.totalBytes / MIB} MB in all, with names (folders and all) of at most ` +
        `${LIMITS.artifacts.name} printable characters. Hidden files are not handed over.`,
    }),
    artifacts_skipped: z
      .array(skippedArtifactSchema)
      .default([])
      .meta({ description: 'Files that were left out, and why.' }),
    without_output: z.boolean().default(false).meta({
      description:
        'It succeeded and nothing is to be seen of it: it printed nothing, left no file and had no tests.',
    }),
    usage: usageSchema.nullable(),
    taken_from: z
      .string()
      .nullable()
      .default(null)
      .meta({ description: 'The execution that made it, if this one goes on from that.' }),
    started_at: z.iso.datetime(),
    generated_at: z.iso.datetime().nullable(),
    checked_at: z.iso.datetime().nullable().meta({ description: 'When the code had passed the check.' }),
    run_started_at: z.iso.datetime().nullable(),
    finished_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Attempt' });
export type Attempt = z.infer<typeof attemptSchema>;

export const executionSummarySchema = z
  .object({
    execution_id: z.string(),
    status: executionStatusSchema,
    success: z.boolean(),
    prompt: z.string(),
    max_retries: z.int(),
    timeout: z.number(),
    policy: policySchema,
    model: z.string(),
    attempts: z.int().min(0).meta({ description: 'Attempts begun, with those that were taken over.' }),
    resumes: z.string().nullable().default(null).meta({ description: 'The execution that it goes on from.' }),
    error: z.string().nullable().meta({ description: 'Why the execution failed, if it did.' }),
    error_category: errorCategorySchema.nullable(),
    created_at: z.iso.datetime(),
    finished_at: z.iso.datetime().nullable(),
    total_time: duration.nullable().meta({ description: 'Seconds from created_at to finished_at.' }),
  })
  .meta({ id: 'ExecutionSummary' });
export type ExecutionSummary = z.infer<typeof executionSummarySchema>;

export const executionSchema = executionSummarySchema
  .extend({
    tests: z.string().nullable(),
    results: z.array(attemptSchema),
    final_result: attemptSchema
      .nullable()
      .meta({ description: 'The last attempt, once the execution has ended.' }),
    place_in_line: z.int().min(1).nullable().meta({
      description: 'While `queued`: 1 if it is the next to begin. About right: others come and go meanwhile.',
    }),
    usage: usageSchema.nullable().meta({ description: 'Sum over the attempts that it made itself.' }),
    sequence: z.int().min(0).meta({
      description: 'Number of the last event that this snapshot holds: resume the events after it.',
    }),
    ticket: z
      .string()
      .meta({ description: 'Opens the WebSocket of this execution: /ws?execution=…&ticket=…' }),
  })
  .meta({ id: 'Execution' });
export type Execution = z.infer<typeof executionSchema>;

export const historySchema = z
  .object({
    executions: z.array(executionSummarySchema),
    next_cursor: z
      .string()
      .nullable()
      .meta({ description: 'Pass as `cursor` for the next page; null on the last.' }),
  })
  .meta({ id: 'History' });
export type History = z.infer<typeof historySchema>;

const EXECUTION_TRANSITIONS: Record<ExecutionStatus, readonly ExecutionStatus[]> = {
  queued: ['running', 'failed', 'cancelled'],
  running: ['succeeded', 'failed', 'cancelled'],
  succeeded: [],
  failed: [],
  cancelled: [],
};

const ATTEMPT_TRANSITIONS: Record<AttemptStatus, readonly AttemptStatus[]> = {
  generating: ['checking', 'failed', 'cancelled'],
  checking: ['waiting', 'failed', 'cancelled'],
  waiting: ['running', 'succeeded', 'failed', 'cancelled'],
  running: ['waiting', 'succeeded', 'failed', 'cancelled'],
  succeeded: [],
  failed: [],
  cancelled: [],
};

/** The statuses from which an execution may become `to`. */
export function executionStatusesBefore(to: ExecutionStatus): ExecutionStatus[] {
  return executionStatusSchema.options.filter((from) => EXECUTION_TRANSITIONS[from].includes(to));
}

/** The statuses from which an attempt may become `to`. */
export function attemptStatusesBefore(to: AttemptStatus): AttemptStatus[] {
  return attemptStatusSchema.options.filter((from) => ATTEMPT_TRANSITIONS[from].includes(to));
}

export const isFinal = (status: ExecutionStatus): status is FinalStatus =>
  EXECUTION_TRANSITIONS[status].length === 0;
