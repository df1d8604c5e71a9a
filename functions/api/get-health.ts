/** GET /health: whether the service can do its work, with which model, which isolation and which packages. */
import { config, DEMO_MODEL } from '../core/config.ts';
import type { Health } from '../core/health.ts';
import { apiHandler } from '../core/middleware.ts';
import { modelProblem } from '../core/model/key.ts';
import { getIsolation } from '../core/store.ts';

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
