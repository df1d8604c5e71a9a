/**
 * The vocabulary of what happens in an execution, shared by the workflow, the WebSocket and the UI.
 * Each event has a sequence number, 1, 2, 3 … without gaps within its execution.
 */
import * as z from 'zod';
import { attemptSchema, executionSummarySchema, violationSchema } from '../execution/execution.ts';

const attempt = z.int().min(1);

export const eventDataSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('execution.started'), execution: executionSummarySchema }),
  /** Also sent again when an attempt's generation starts over after trouble with the model server or a restart. */
  z.object({ type: z.literal('attempt.started'), attempt, total_attempts: z.int() }),
  /** The model server did not do as asked, for this `reason` (a clause for people), and is asked again in `seconds`. */
  z.object({ type: z.literal('model.waiting'), attempt, seconds: z.number().min(0), reason: z.string() }),
  z.object({ type: z.literal('code.delta'), attempt, text: z.string() }),
  /** `code`, here and in `attempt.finished`, and `output` are null where too long for a message: read the snapshot. */
  z.object({ type: z.literal('code.completed'), attempt, code: z.string().nullable() }),
  z.object({
    type: z.literal('check.failed'),
    attempt,
    error: z.string(),
    violations: z.array(violationSchema),
  }),
  /** From here on the attempt waits for its sandbox. */
  z.object({ type: z.literal('check.passed'), attempt }),
  z.object({ type: z.literal('sandbox.ready'), isolation: z.record(z.string(), z.string()) }),
  z.object({ type: z.literal('run.started'), attempt }),
  /** `chunk` counts from 1 within one run; `run` counts the sandboxes that this attempt was given. */
  z.object({
    type: z.literal('run.output'),
    attempt,
    run: z.int().min(1),
    chunk: z.int().min(1),
    text: z.string(),
  }),
  z.object({ type: z.literal('attempt.finished'), attempt, result: attemptSchema }),
  z.object({ type: z.literal('execution.finished'), execution: executionSummarySchema }),
]);
export type EventData = z.infer<typeof eventDataSchema>;

export const eventSchema = z.intersection(
  z.object({ execution_id: z.string(), sequence: z.int().min(1), at: z.iso.datetime() }),
  eventDataSchema,
);
export type ExecutionEvent = z.infer<typeof eventSchema>;
