/** GET /executions/{id}/notebook: redirects to a short-lived address of the execution as a Jupyter notebook. */
import { ownExecution } from '../callers/access.ts';
import { writeNotebook } from '../execution/notebook.ts';
import { readEnding } from '../execution/result-files.ts';
import { apiHandler } from '../http/middleware.ts';
import { onSite, presign } from '../sandbox/mailbox.ts';

const URL_LIFETIME = 300;

export const handler = apiHandler(async ({ owner, path }) => {
  const ending = await readEnding(await ownExecution(owner, path.id));
  const { execution_id } = ending.execution;
  const key = `executions/${execution_id}/notebook.ipynb`;
  await writeNotebook(ending, key);
  const disposition = `attachment; filename="execution-${execution_id.slice(0, 8)}.ipynb"`;
  return { status: 302, headers: { location: onSite(await presign(key, URL_LIFETIME, { disposition })) } };
});
