/** DELETE /executions/{id}: cancels. What has ended stays as it is. */
import { ownExecution } from '../core/access.ts';
import { Problem } from '../core/errors.ts';
import { cancelExecution, readExecution } from '../core/lifecycle.ts';
import { apiHandler } from '../core/middleware.ts';

export const handler = apiHandler(async ({ owner, path }) => {
  const execution = await ownExecution(owner, path.id);
  const cancelled = await cancelExecution(execution);
  const current = await ownExecution(owner, path.id);
  if (!cancelled && current.status !== 'cancelled') {
    throw new Problem(
      409,
      'execution-ended',
      'Execution ended',
      `The execution has ${current.status} already; there is nothing to cancel.`,
    );
  }
  return { status: 200, body: await readExecution(current) };
});
