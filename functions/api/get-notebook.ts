/** GET /executions/{id}/notebook: redirects to a short-lived address of the execution as a Jupyter notebook. */
import { writeNotebook } from '../execution/notebook.ts';
import { redirectToResult } from '../http/downloads.ts';
import { apiHandler } from '../http/middleware.ts';

export const handler = apiHandler(({ owner, path }) =>
  redirectToResult(owner, path.id, 'notebook.ipynb', writeNotebook),
);
