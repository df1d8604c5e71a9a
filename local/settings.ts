/** The settings of the local runtime, from the environment and `.env`; README.md lists them. */
import path from 'node:path';
import { config } from '../functions/core/config.ts';
import { number, oneOf } from '../functions/core/environment.ts';

export interface Settings {
  /** 0: any free one */
  port: number;
  host: string;
  /** The port of the local AWS endpoint, on 127.0.0.1. 0: any free one */
  awsPort: number;
  dataDir: string;
  sandbox: 'auto' | 'process' | 'docker' | 'unconfined';
  warmSandboxes: number;
  /** Whether a model server is set; if not, the demo model is started. */
  hasModel: boolean;
}

/** Reads and checks all settings, those of the functions too. @throws ConfigurationError */
export function readSettings(): Settings {
  // Read for their checks: what is wrong is told at the start and not in the first execution.
  void [config.maxRetries, config.executionTimeout, config.policy, config.model, config.retentionDays];
  void [config.quotas, config.tokensPerDay, config.sandboxMemory];
  return {
    port: number('PORT', 3000, { min: 0, max: 65_535 }),
    host: process.env.HOST?.trim() || '127.0.0.1',
    awsPort: number('AWS_PORT', 0, { min: 0, max: 65_535 }),
    dataDir: path.resolve(process.env.DATA_DIR?.trim() || '.data'),
    sandbox: oneOf('SANDBOX', 'auto', ['auto', 'process', 'docker', 'unconfined']),
    warmSandboxes: number('WARM_SANDBOXES', 1, { min: 0, max: 100 }),
    hasModel: Boolean(process.env.OPENAI_API_KEY?.trim() || process.env.OPENAI_BASE_URL?.trim()),
  };
}

/** What `auto` stands for here. */
export function sandboxKind({ sandbox }: Pick<Settings, 'sandbox'>): Exclude<Settings['sandbox'], 'auto'> {
  if (sandbox !== 'auto') return sandbox;
  return process.platform === 'linux' ? 'process' : 'docker';
}
