/** The environments and all in which they differ. Account and region come from the AWS CLI's own configuration. */
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Policy } from '../functions/execution/execution.ts';

/** MiB of memory that Fargate gives with so many units of CPU (1,024 are one CPU), less than 2 GiB left out. */
const MEMORY_OF_CPU = {
  512: [2048, 3072, 4096],
  1024: [2048, 3072, 4096, 5120, 6144, 7168, 8192],
  2048: [4096, 5120, 6144, 7168, 8192, 9216, 10240, 11264, 12288, 13312, 14336, 15360, 16384],
} as const;

/** A pair of CPU and memory that Fargate takes. */
export type TaskSize = {
  [C in keyof typeof MEMORY_OF_CPU]: { cpu: C; memoryMiB: (typeof MEMORY_OF_CPU)[C][number] };
}[keyof typeof MEMORY_OF_CPU];

/**
 * MiB of a task's memory that files in /tmp may take, and that the supervisor and the preloaded interpreter do. /tmp holds
 * what a program writes (256) beside its copies of the inputs (250), and some room to be seen above that.
 */
export const TMP_MIB = 640;
const SUPERVISOR_MIB = 384;

export interface Environment {
  name: 'dev' | 'staging' | 'prod';
  /** Data outlives the stack: buckets and table are kept, the table cannot be deleted and can be set back in time. */
  keepsData: boolean;
  /** Days that executions and their files are kept. */
  retentionDays: number;
  logRetention: RetentionDays;
  sandbox: TaskSize & {
    /**
     * isolated: no way to the internet; its endpoints cost about 22 USD a month in each availability zone.
     * public: a public address, nothing comes in, HTTPS goes out; costs nothing while idle.
     */
    network: 'isolated' | 'public';
    availabilityZones: 1 | 2;
    /**
     * Which zones, by their names in the account, such as eu-central-1a; as many as `availabilityZones`. Not every zone
     * has Fargate.
     * @default - the first of the region
     */
    zones?: readonly string[];
    architecture: 'ARM64' | 'X86_64';
    /** Started sandboxes that wait for an execution. Each costs about 29 USD a month; 0 costs nothing. */
    warm: number;
    /**
     * When they wait, such as `Mon-Fri 8-18 Europe/Berlin`: 50 hours a week cost 9 USD instead of 29.
     * @default - always
     */
    warmHours?: string;
    /**
     * Whether sandboxes that are started for an execution are asked of Fargate Spot first: for about a third of the price, and
     * may be stopped at any time, upon which the attempt is run again. Warm ones never are.
     */
    spot: boolean;
  };
  limits: {
    /** Defaults of an execution, see docs/configuration.md. */
    maxRetries: number;
    executionTimeout: number;
    /** MB of memory that a program has; the task also holds its supervisor and its files. */
    sandboxMemoryMb: number;
    policy: Policy;
    /** Requests a second, over all callers, and at once. */
    requestsPerSecond: number;
    burst: number;
    /** Executions, of all callers, that are under way or wait for their turn; beyond it callers are told to come back. */
    openExecutions: number;
    /** Of each caller; 0: as many as it likes. */
    quotas: {
      requestsPerMinute: number;
      executionsAtOnce: number;
      executionsPerDay: number;
      tokensPerDay: number;
    };
    /**
     * How many of a function may run at once, where a runaway would cost money or starve the others. Needs an
     * account whose Lambda concurrency is at least 100 above the sum.
     * @default - no more than the account allows
     */
    concurrency?: { execute: number; generateCode: number; collectResult: number };
  };
  /** Who may call: callers with a key made by `npm run keys`, or with a token of an OIDC issuer. */
  auth: { type: 'api-key' } | { type: 'jwt'; issuer: string; audience: string[] };
  model: {
    name: string;
    /** An OpenAI-compatible server. @default - https://api.openai.com/v1 */
    baseUrl?: string;
  };
  /** @default - the domain name that CloudFront gives */
  domain?: {
    name: string;
    /** A certificate in us-east-1, where CloudFront wants it. */
    certificateArn: string;
  };
  /** Raised by one it makes a new secret between CloudFront and the APIs. @default 1 */
  originSecret?: number;
  /** A web application firewall before everything; about 8 USD a month. */
  firewall: boolean;
  /** Where alarms and the budget are sent. @default - to the topic only */
  alarmEmail?: string;
  alarms: {
    /** Model tokens in an hour. */
    tokensPerHour: number;
  };
  /** USD a month, of the whole account. */
  budget: number;
}

export const environments: readonly Environment[] = [
  {
    name: 'dev',
    keepsData: false,
    retentionDays: 7,
    logRetention: RetentionDays.ONE_WEEK,
    sandbox: {
      network: 'public',
      availabilityZones: 2,
      architecture: 'ARM64',
      cpu: 1024,
      memoryMiB: 2048,
      warm: 0,
      spot: true,
    },
    limits: {
      maxRetries: 5,
      executionTimeout: 30,
      sandboxMemoryMb: 1024,
      policy: 'strict',
      requestsPerSecond: 20,
      burst: 40,
      openExecutions: 100,
      quotas: {
        requestsPerMinute: 30,
        executionsAtOnce: 3,
        executionsPerDay: 200,
        tokensPerDay: 500_000,
      },
    },
    auth: { type: 'api-key' },
    model: { name: 'gpt-5-mini' },
    firewall: false,
    alarms: { tokensPerHour: 500_000 },
    budget: 50,
  },
  {
    name: 'staging',
    keepsData: false,
    retentionDays: 14,
    logRetention: RetentionDays.TWO_WEEKS,
    sandbox: {
      network: 'isolated',
      availabilityZones: 1,
      architecture: 'ARM64',
      cpu: 1024,
      memoryMiB: 2048,
      warm: 0,
      spot: true,
    },
    limits: {
      maxRetries: 5,
      executionTimeout: 30,
      sandboxMemoryMb: 1024,
      policy: 'strict',
      requestsPerSecond: 50,
      burst: 100,
      openExecutions: 500,
      quotas: {
        requestsPerMinute: 30,
        executionsAtOnce: 5,
        executionsPerDay: 500,
        tokensPerDay: 2_000_000,
      },
    },
    auth: { type: 'api-key' },
    model: { name: 'gpt-5-mini' },
    firewall: false,
    alarms: { tokensPerHour: 1_000_000 },
    budget: 150,
  },
  {
    name: 'prod',
    keepsData: true,
    retentionDays: 90,
    logRetention: RetentionDays.THREE_MONTHS,
    sandbox: {
      network: 'isolated',
      availabilityZones: 2,
      architecture: 'ARM64',
      cpu: 1024,
      memoryMiB: 2048,
      warm: 2,
      spot: true,
    },
    limits: {
      maxRetries: 5,
      executionTimeout: 30,
      sandboxMemoryMb: 1024,
      policy: 'strict',
      requestsPerSecond: 200,
      burst: 400,
      openExecutions: 5_000,
      quotas: {
        requestsPerMinute: 60,
        executionsAtOnce: 10,
        executionsPerDay: 2_000,
        tokensPerDay: 5_000_000,
      },
      concurrency: { execute: 200, generateCode: 200, collectResult: 100 },
    },
    auth: { type: 'api-key' },
    model: { name: 'gpt-5-mini' },
    firewall: true,
    alarms: { tokensPerHour: 10_000_000 },
    budget: 1000,
  },
];

/** @throws Error, in a sentence, for settings that do not fit together and that no type tells at run time. */
export function checkEnvironment({ name, sandbox, limits }: Environment): void {
  const { cpu, memoryMiB, zones, availabilityZones } = sandbox;
  const sizes: Record<number, readonly number[]> = MEMORY_OF_CPU;
  if (!sizes[cpu]) {
    throw new Error(`${name}: sandbox.cpu must be one of ${Object.keys(sizes).join(', ')}, not ${cpu}.`);
  }
  if (!sizes[cpu].includes(memoryMiB)) {
    const allowed = sizes[cpu].join(', ');
    throw new Error(
      `${name}: with sandbox.cpu ${cpu} Fargate has no sandbox.memoryMiB of ${memoryMiB}; choose one of ${allowed}.`,
    );
  }
  const mostMemory = memoryMiB - TMP_MIB - SUPERVISOR_MIB;
  if (!(limits.sandboxMemoryMb >= 128 && limits.sandboxMemoryMb <= mostMemory)) {
    throw new Error(
      `${name}: with sandbox.memoryMiB ${memoryMiB} limits.sandboxMemoryMb must be from 128 to ${mostMemory}, not ${limits.sandboxMemoryMb}.`,
    );
  }
  if (zones && new Set(zones).size !== availabilityZones) {
    throw new Error(
      `${name}: sandbox.zones must name as many zones as sandbox.availabilityZones says: ${availabilityZones}.`,
    );
  }
}
