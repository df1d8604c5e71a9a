/** State GenerateCode: has the model write the code of the next attempt; answers with a URL of it for CheckCode. */
import * as z from 'zod';
import { generateAttempt } from '../execution/generation.ts';
import { workflowHandler } from '../http/middleware.ts';

export const handler = workflowHandler(z.object({ execution_id: z.string() }), ({ execution_id }) =>
  generateAttempt(execution_id),
);
