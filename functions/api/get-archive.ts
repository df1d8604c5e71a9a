/** GET /executions/{id}/archive: redirects to a short-lived address of a ZIP file of the program, its output and its files. */
import { writeArchive } from '../execution/archive.ts';
import { redirectToResult } from '../http/downloads.ts';
import { apiHandler } from '../http/middleware.ts';

export const handler = apiHandler(({ owner, path }) =>
  redirectToResult(owner, path.id, 'archive.zip', writeArchive),
);
