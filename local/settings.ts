/** The settings of the local runtime, from the environment and `.env`; docs/configuration.md lists them. */
import os from 'node:os';
import path from 'node:path';
import { config } from '../functions/service/config.ts';
import { number, oneOf } from '../functions/service/environment.ts';

export interface Settings {
  /** 0: any free one */
  port: number;
  host: string;
  /** The port of the local AWS endpoint, on 127.0.0.1. 0: any free one */
  awsPort: number;
  dataDir: string;
  sandbox: 'auto' | 'process' | 'docker' | 'unconfined';
  warmSandboxes: number;
  /** Executions that run; more wait for their turn. */
  executionsAtOnce: number;
  /** Executions that may wait for their turn. */
  queuedExecutions: number;
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
    executionsAtOnce: number('MAX_EXECUTIONS_AT_ONCE', standardAtOnce(), { min: 1, max: 1_000 }),
    queuedExecutions: number('MAX_QUEUED_EXECUTIONS', 1_000, { min: 0, max: 100_000 }),
    hasModel: Boolean(process.env.OPENAI_API_KEY?.trim() || process.env.OPENAI_BASE_URL?.trim()),
  };
}

/** Executions a core can serve: most of the time they wait for the model. */
const EXECUTIONS_PER_CORE = 4;
/** Megabytes that a sandbox takes beside its program. */
const SANDBOX_OVERHEAD = 100;

/** As many as the cores serve, and as fit into three quarters of the memory if each program takes all that it may. */
function standardAtOnce(): number {
  const memory = Math.min(os.totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY) / 1024 ** 2;
  const fitting = Math.floor((0.75 * memory) / (config.sandboxMemory + SANDBOX_OVERHEAD));
  return Math.max(1, Math.min(EXECUTIONS_PER_CORE * os.availableParallelism(), fitting));
}

/** What `auto` stands for here. */
export function sandboxKind({ sandbox }: Pick<Settings, 'sandbox'>): Exclude<Settings['sandbox'], 'auto'> {
  if (sandbox !== 'auto') return sandbox;
  return process.platform === 'linux' ? 'process' : 'docker';
}
