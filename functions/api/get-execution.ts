/** GET /executions/{id}: a snapshot; events after its `sequence` continue it. */
import { ownExecution } from '../core/access.ts';
import { readExecution } from '../core/lifecycle.ts';
import { apiHandler } from '../core/middleware.ts';

export const handler = apiHandler(async ({ owner, path }) => ({
  status: 200,
  body: await readExecution(await ownExecution(owner, path.id)),
}));
