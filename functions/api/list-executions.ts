/** GET /executions?limit&cursor: the caller's history, newest first. */
import * as z from 'zod';
import type { History } from '../execution/execution.ts';
import { listExecutions } from '../execution/records.ts';
import { toSummary } from '../execution/views.ts';
import { apiHandler, checkInput } from '../http/middleware.ts';
import { Problem } from '../service/errors.ts';

export const querySchema = z.strictObject({
  limit: z.coerce
    .number({ error: 'must be a whole number' })
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(100, 'must be at most 100')
    .default(20),
  cursor: z.string().optional().meta({ description: 'next_cursor of the page before' }),
});

export const handler = apiHandler(async ({ owner, query }) => {
  const { limit, cursor } = checkInput(querySchema, query);
  const { executions, last } = await listExecutions(owner, limit, cursor ? decode(cursor, owner) : null);
  const history: History = {
    executions: executions.map(toSummary),
    next_cursor: last && encode(last, owner),
  };
  return { status: 200, body: history };
});

const encode = (last: string, owner: string) =>
  Buffer.from(JSON.stringify([last, owner])).toString('base64url');

/** @throws Problem for a cursor that is not ours, or another caller's. */
function decode(cursor: string, owner: string): string {
  const schema = z.tuple([z.string().regex(/^\d{4}-\d\d-\d\dT[\d:.]{5,20}Z#[\w-]{1,64}$/), z.literal(owner)]);
  try {
    return schema.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString()))[0];
  } catch {
    const detail = 'The cursor is not one that this history gave out. Start again without a cursor.';
    throw new Problem(400, 'invalid-request', 'Invalid request', detail, [{ pointer: 'cursor', detail }]);
  }
}
