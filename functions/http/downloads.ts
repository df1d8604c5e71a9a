/** Answers by which a caller gets a file from S3: a redirection to a short-lived address of it on this site. */
import path from 'node:path';
import { ownExecution } from '../callers/access.ts';
import { type Ending, readEnding } from '../execution/result-files.ts';
import { onSite, presign } from '../service/files.ts';
import type { ApiResponse } from './middleware.ts';

/** Seconds. */
const URL_LIFETIME = 300;

/** `response`: how the file is to be shown or saved. */
export async function redirectToFile(
  key: string,
  response: { disposition: string; type?: string },
): Promise<ApiResponse> {
  return { status: 302, headers: { location: onSite(await presign(key, URL_LIFETIME, response)) } };
}

/** Makes one file of what an execution has come to, by `write`, and redirects to it. @throws Problem */
export async function redirectToResult(
  owner: string,
  id: string | undefined,
  file: string,
  write: (ending: Ending, key: string) => Promise<void>,
): Promise<ApiResponse> {
  const ending = await readEnding(await ownExecution(owner, id));
  const { execution_id } = ending.execution;
  const key = `executions/${execution_id}/${file}`;
  await write(ending, key);
  const saved = `execution-${execution_id.slice(0, 8)}${path.extname(file)}`;
  return redirectToFile(key, { disposition: `attachment; filename="${saved}"` });
}
