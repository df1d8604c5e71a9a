/**
 * Settings, all from environment variables and read when first needed, so that a function needs only the ones it
 * uses. The same names serve locally and on AWS; docs/configuration.md lists them.
 */

import { LIMITS, type Policy, policySchema } from '../execution/execution.ts';
import type { TaskSize } from '../execution/prices.ts';
import type { WarmHours } from '../sandbox/warm-hours.ts';
import { matching, number, oneOf, required } from './environment.ts';

/** The name under which the demo model of the local runtime answers. */
export const DEMO_MODEL = 'demo';

/** Where the model is asked if nothing else is said. */
export const OPENAI_URL = 'https://api.openai.com/v1';

const AUTHS = ['none', 'api-key', 'jwt'] as const;
export type Auth = (typeof AUTHS)[number];

const WARM_HOURS =
  /^(?<first>Mon|Tue|Wed|Thu|Fri|Sat|Sun)-(?<last>Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?<from>\d{1,2})-(?<to>\d{1,2}) (?<timeZone>[\w/+-]+)$/;

function isTimeZone(name: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: name }));
  } catch {
    return false;
  }
}

export const config = {
  get tableName() {
    return required('TABLE_NAME');
  },
  get bucketName() {
    return required('BUCKET_NAME');
  },
  get stateMachineArn() {
    return required('STATE_MACHINE_ARN');
  },
  /** The function CheckCode, which reads tests before anything is begun. */
  get checkCodeFunction() {
    return required('CHECK_CODE_FUNCTION');
  },
  get sandboxCluster() {
    return required('SANDBOX_CLUSTER');
  },
  get sandboxTaskDefinition() {
    return required('SANDBOX_TASK_DEFINITION');
  },
  /** Subnets and security groups of a sandbox, comma-separated. */
  get sandboxSubnets() {
    return required('SANDBOX_SUBNETS').split(',');
  },
  get sandboxSecurityGroups() {
    return required('SANDBOX_SECURITY_GROUPS').split(',');
  },
  get sandboxAssignPublicIp() {
    return oneOf('SANDBOX_ASSIGN_PUBLIC_IP', 'DISABLED', ['ENABLED', 'DISABLED']);
  },
  /** Version of the Python that runs programs, such as `3.13` or `3.13.9`. */
  get sandboxPython() {
    return required('SANDBOX_PYTHON_VERSION');
  },
  /** The packages that programs may import: comma-separated pins, such as `numpy==2.4.6,pandas==3.1.1`. */
  get sandboxPackages(): { name: string; version: string }[] {
    const pins = (process.env.SANDBOX_PACKAGES ?? '').split(',').filter(Boolean);
    return pins.map((pin) => {
      const [name = '', version = ''] = pin.split('==');
      return { name, version };
    });
  },
  /** Whether sandboxes that are started for an execution are asked of Fargate Spot first. */
  get sandboxSpot() {
    return oneOf('SANDBOX_SPOT', 'off', ['on', 'off']) === 'on';
  },
  /** What a sandbox's task is billed by; undefined where nothing is billed. */
  get sandboxSize(): TaskSize | undefined {
    const units = number('SANDBOX_CPU', 0, { min: 0, max: 16_384 });
    if (units === 0) return undefined;
    return {
      cpus: units / 1024,
      gib: number('SANDBOX_MEMORY_MIB', 2_048, { min: 512, max: 122_880 }) / 1024,
      architecture: oneOf('SANDBOX_ARCHITECTURE', 'ARM64', ['ARM64', 'X86_64']),
    };
  },
  get warmSandboxes() {
    return number('WARM_SANDBOXES', 0, { min: 0, max: 100 });
  },
  /** When there are to be warm sandboxes; undefined: always. */
  get warmHours(): WarmHours | undefined {
    return matching(
      'WARM_HOURS',
      WARM_HOURS,
      'days, hours and a time zone, such as "Mon-Fri 8-18 Europe/Berlin"',
      ({ first = '', last = '', from, to, timeZone = '' }) => {
        const hours = [Number(from), Number(to)] as const;
        const isRight = hours[0] < hours[1] && hours[1] <= 24 && isTimeZone(timeZone);
        return isRight ? { days: [first, last], hours, timeZone } : undefined;
      },
    );
  },
  get maxRetries() {
    return number('MAX_RETRIES', 5, { min: 1, max: LIMITS.maxRetries });
  },
  /** seconds */
  get executionTimeout() {
    return number('EXECUTION_TIMEOUT', 30, { min: 0.1, max: LIMITS.timeout, fractions: true });
  },
  /** Megabytes of memory that a program has, above what Python itself takes; as in sandbox-image/sandbox/settings.py. */
  get sandboxMemory() {
    return number('SANDBOX_MEMORY_MB', 1024, { min: 128, max: 16_384 });
  },
  get policy(): Policy {
    return oneOf('POLICY', 'strict', policySchema.options);
  },
  /** Days that an execution and its files are kept. */
  get retentionDays() {
    return number('RETENTION_DAYS', 30, { min: 1, max: 3650 });
  },
  /** Executions, of all callers, that may be under way or waiting for their turn; 0: any number. */
  get maxOpenExecutions() {
    return number('MAX_OPEN_EXECUTIONS', 0, { min: 0, max: 1_000_000 });
  },
  /** What a caller may start; 0: as much as it likes. */
  get quotas() {
    return {
      requestsPerMinute: number('QUOTA_REQUESTS_PER_MINUTE', 0, { min: 0, max: 1_000_000 }),
      executionsAtOnce: number('QUOTA_EXECUTIONS_AT_ONCE', 0, { min: 0, max: 1_000 }),
      executionsPerDay: number('QUOTA_EXECUTIONS_PER_DAY', 0, { min: 0, max: 10_000_000 }),
    };
  },
  /** Model tokens of a caller; 0: as many as it likes. */
  get tokensPerDay() {
    return number('QUOTA_TOKENS_PER_DAY', 0, { min: 0, max: 1_000_000_000_000 });
  },
  /** How callers are known; `none`, for the local runtime alone, takes whoever calls for one. */
  get auth(): Auth {
    return oneOf('AUTH', 'none', AUTHS);
  },
  /** What CloudFront sends along with every request; unset where there is no CloudFront. */
  get originSecret() {
    return process.env.ORIGIN_SECRET || undefined;
  },
  get modelName() {
    return process.env.OPENAI_MODEL?.trim() || 'gpt-5-mini';
  },
  /** The secret that holds the model server's key, if OPENAI_API_KEY does not. */
  get modelKeySecretArn() {
    return process.env.OPENAI_API_KEY_SECRET_ARN?.trim() || undefined;
  },
  /** The model server's settings; `timeout` is the seconds of silence after which a request is given up,
   * `patience` those for which a server that is away or in trouble is asked again. */
  get model() {
    return {
      apiKey: process.env.OPENAI_API_KEY?.trim() || undefined,
      baseURL: process.env.OPENAI_BASE_URL?.trim() || OPENAI_URL,
      model: config.modelName,
      timeout: number('OPENAI_TIMEOUT', 120, { min: 0.1, max: 600, fractions: true }),
      patience: number('OPENAI_PATIENCE', 60, { min: 0, max: 120, fractions: true }),
    };
  },
};
