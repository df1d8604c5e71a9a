/** DELETE /executions/{id}: cancels. What has ended stays as it is, also what ends while it is to be cancelled. */
import { ownExecution, ownSnapshot } from '../callers/access.ts';
import { cancelExecution } from '../execution/lifecycle.ts';
import { viewOfExecution } from '../execution/views.ts';
import { apiHandler } from '../http/middleware.ts';
import { Problem } from '../service/errors.ts';

export const handler = apiHandler(async ({ owner, path }) => {
  const { execution_id } = await ownExecution(owner, path.id);
  await cancelExecution(execution_id);
  const current = await ownSnapshot(owner, execution_id);
  const { status } = current.execution;
  if (status !== 'cancelled') {
    throw new Problem(
      409,
      'execution-ended',
      'Execution ended',
      `The execution has ${status} already; there is nothing to cancel.`,
    );
  }
  return { status: 200, body: await viewOfExecution(current) };
});
