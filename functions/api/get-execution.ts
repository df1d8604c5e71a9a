/** GET /executions/{id}: a snapshot; events after its `sequence` continue it. */
import { ownExecution } from '../callers/access.ts';
import { readExecution } from '../execution/lifecycle.ts';
import { apiHandler } from '../http/middleware.ts';

export const handler = apiHandler(async ({ owner, path }) => ({
  status: 200,
  body: await readExecution(await ownExecution(owner, path.id)),
}));
