/** GET /health: whether the service can do its work, with which model, which isolation and which packages. */

import { apiHandler } from '../http/middleware.ts';
import { modelProblem } from '../model/key.ts';
import { getIsolation } from '../sandbox/isolation.ts';
import { config, DEMO_MODEL } from '../service/config.ts';
import type { Health } from '../service/health.ts';

export const handler = apiHandler(async () => ({
  status: 200,
  body: {
    status: 'healthy',
    /** Why no work is taken now; null if it is. */
    problem: null,
    service: 'Recursive AI Executor',
    model: {
      name: config.modelName,
      demo: config.modelName === DEMO_MODEL,
      problem: await modelProblem(),
    },
    isolation: await getIsolation(),
    sandbox: { python: config.sandboxPython, packages: config.sandboxPackages },
    defaults: {
      max_retries: config.maxRetries,
      timeout: config.executionTimeout,
      policy: config.policy,
    },
  } satisfies Health,
}));
