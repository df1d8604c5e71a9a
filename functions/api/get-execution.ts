/** GET /executions/{id}: a snapshot; events after its `sequence` continue it. */
import { ownSnapshot } from '../callers/access.ts';
import { viewOfExecution } from '../execution/views.ts';
import { apiHandler } from '../http/middleware.ts';

export const handler = apiHandler(async ({ owner, path }) => ({
  status: 200,
  body: await viewOfExecution(await ownSnapshot(owner, path.id)),
}));
