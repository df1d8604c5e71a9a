/**
 * GET /executions/{id}/artifacts/{name}?attempt=N&name=NAME: redirects to a short-lived address of the file on this
 * site, by default of the last attempt that left one of this name. Everything but plain pictures is sent as a download:
 * an artifact is untrusted.
 */
import * as z from 'zod';
import { ownExecution } from '../callers/access.ts';
import { LIMITS, text } from '../execution/execution.ts';
import { listAttempts } from '../execution/records.ts';
import { filesOf } from '../execution/result-files.ts';
import { redirectToFile } from '../http/downloads.ts';
import { apiHandler, checkInput } from '../http/middleware.ts';
import { Problem } from '../service/errors.ts';

export const querySchema = z.strictObject({
  attempt: z.coerce
    .number({ error: 'must be a whole number' })
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .optional(),
  /** Instead of the one in the path, where API Gateway takes a % or a ? of it for more than a character. */
  name: text(LIMITS.artifacts.name).optional(),
});

/** Pictures that a browser shows without running anything; SVG can hold scripts. */
const INLINE_TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];

export const handler = apiHandler(async ({ owner, path, query }) => {
  const { attempt: wanted, name: wantedName = path.name } = checkInput(querySchema, query);
  const { execution_id } = await ownExecution(owner, path.id);
  const attempts = await listAttempts(execution_id);
  for (const attempt of attempts.reverse()) {
    if (wanted && attempt.attempt !== wanted) continue;
    const artifact = filesOf(attempt).find(({ name }) => name === wantedName);
    if (!artifact) continue;
    const inline = INLINE_TYPES.includes(artifact.content_type);
    return redirectToFile(artifact.key, {
      disposition: `${inline ? 'inline' : 'attachment'}; filename*=${extValue(artifact.name.split('/').at(-1) ?? 'file')}`,
      type: inline ? artifact.content_type : 'application/octet-stream',
    });
  }
  throw new Problem(
    404,
    'unknown-artifact',
    'Unknown artifact',
    `No attempt of this execution left a file "${wantedName}".`,
  );
});

/** RFC 8187: a parameter's value of any characters. */
function extValue(value: string): string {
  const encode = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  return `UTF-8''${encodeURIComponent(value).replace(/['()*]/g, encode)}`;
}
