/** What GET /health answers. */
import * as z from 'zod';
import { policySchema } from '../execution/execution.ts';

export const healthSchema = z
  .object({
    status: z.enum(['healthy', 'unhealthy']),
    problem: z.string().nullable().meta({ description: 'Why no work is taken now; null if it is.' }),
    service: z.string(),
    model: z.object({
      name: z.string(),
      demo: z.boolean(),
      problem: z.string().nullable().meta({
        description: 'Why the model cannot be asked; null if nothing is known against it.',
      }),
    }),
    isolation: z.record(z.string(), z.string()).nullable().meta({
      description: 'Layer by layer, as the last sandbox reported it; null before the first.',
    }),
    sandbox: z
      .object({
        python: z.string().meta({ description: 'Version of the Python that runs programs.' }),
        packages: z.array(z.object({ name: z.string(), version: z.string() })),
      })
      .meta({ description: 'What programs may use beside the standard library.' }),
    defaults: z.object({ max_retries: z.int(), timeout: z.number(), policy: policySchema }),
  })
  .meta({ id: 'Health' });
export type Health = z.infer<typeof healthSchema>;
