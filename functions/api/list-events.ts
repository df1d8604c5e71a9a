/**
 * GET /executions/{id}/events?after=N: the events after sequence number N, for a client that polls; as many as fit into
 * one answer.
 */
import * as z from 'zod';
import { ownExecution } from '../callers/access.ts';
import { listEvents } from '../events/feed.ts';
import { fitting } from '../execution/answer-size.ts';
import { apiHandler, checkInput } from '../http/middleware.ts';

export const querySchema = z.strictObject({
  after: z.coerce
    .number({ error: 'must be a whole number' })
    .int('must be a whole number')
    .min(0, 'must not be negative')
    .max(999_999_999, 'is beyond every event')
    .default(0),
});

export const handler = apiHandler(async ({ owner, path, query }) => {
  const { after } = checkInput(querySchema, query);
  const { execution_id } = await ownExecution(owner, path.id);
  return { status: 200, body: { events: fitting(await listEvents(execution_id, after)) } };
});
