/**
 * What `npm run deploy` looks at before it changes anything, by calls that only read. Each finding is one sentence that
 * says what is wrong and what to do. What cannot be looked at (a right is missing, a service does not answer) is a
 * warning: it need not be wrong.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import {
  GetAWSDefaultServiceQuotaCommand,
  GetServiceQuotaCommand,
  ServiceQuotasClient,
} from '@aws-sdk/client-service-quotas';
import { GetParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import type { Environment } from './environments.ts';

export interface Finding {
  /** An error keeps a deployment from succeeding; a warning may. */
  level: 'error' | 'warning';
  sentence: string;
}

/** The regions that are in every account. To buckets in others CloudFront does not write its logs. */
const DEFAULT_REGIONS = [
  'ap-northeast-1',
  'ap-northeast-2',
  'ap-northeast-3',
  'ap-south-1',
  'ap-southeast-1',
  'ap-southeast-2',
  'ca-central-1',
  'eu-central-1',
  'eu-north-1',
  'eu-west-1',
  'eu-west-2',
  'eu-west-3',
  'sa-east-1',
  'us-east-1',
  'us-east-2',
  'us-west-1',
  'us-west-2',
];

/** The zones, by their ids, of regions in which not every zone has Fargate. */
const FARGATE_ZONES: Record<string, string> = {
  'ap-northeast-1': 'apne1-az1, apne1-az2 and apne1-az4',
  'us-west-1': 'usw1-az1 and usw1-az3',
};

/** Where CloudFront's firewall and certificate live. */
const GLOBAL_REGION = 'us-east-1';

/** What `cdk bootstrap` makes: the oldest version that has the roles that a deployment assumes. */
const BOOTSTRAP_VERSION = 6;
const BOOTSTRAP_PARAMETER = '/cdk-bootstrap/hnb659fds/version';

const QUOTAS = {
  functions: { ServiceCode: 'lambda', QuotaCode: 'L-B99A9384', name: 'Lambda, Concurrent executions' },
  cpus: {
    ServiceCode: 'fargate',
    QuotaCode: 'L-3032A538',
    name: 'AWS Fargate, On-Demand vCPU resource count',
  },
};
/** Lambda keeps so many of an account's for functions that reserve none. */
const UNRESERVED = 100;
/** Functions that an execution and those who look at it keep busy at once. */
const FUNCTIONS_OF_EXECUTION = 10;

const error = (sentence: string): Finding => ({ level: 'error', sentence });
const warning = (sentence: string): Finding => ({ level: 'warning', sentence });

/** All that can be said of the account and this machine; nothing, if all is well. */
export async function preflight(environment: Environment): Promise<Finding[]> {
  const target = await findTarget();
  if ('level' in target) return [target];
  const { account, region } = target;
  const regions = environment.firewall ? [...new Set([region, GLOBAL_REGION])] : [region];
  const found = await Promise.all([
    checkRegion(environment, region),
    ...regions.map((one) => checkBootstrap(account, one)),
    checkQuotas(environment, region),
    checkDocker(environment),
  ]);
  return found.flat();
}

/** Whose account, and which region; or why that is not known. */
export async function findTarget(): Promise<{ account: string; region: string } | Finding> {
  const sts = new STSClient();
  let region: string;
  try {
    region = await sts.config.region();
  } catch {
    return error('No region is chosen: set AWS_REGION, or run aws configure.');
  }
  try {
    const { Account = '' } = await sts.send(new GetCallerIdentityCommand());
    return { account: Account, region };
  } catch (failure) {
    const { name, message } = failure as Error;
    if (/^(CredentialsProviderError|ProviderError|TokenProviderError)$/.test(name)) {
      return error(`There are no AWS credentials: run aws configure, or set AWS_PROFILE (${message}).`);
    }
    if (/^ExpiredToken/.test(name)) {
      return error('The AWS credentials have expired: log in again (aws sso login), or make new ones.');
    }
    if (/^(InvalidClientTokenId|SignatureDoesNotMatch|UnrecognizedClient|AccessDenied)/.test(name)) {
      return error(`AWS refuses the credentials: check AWS_PROFILE and aws configure (${message}).`);
    }
    return error(`AWS does not answer in ${region}: is that a region, and this machine online? (${message})`);
  }
}

function checkRegion({ name, sandbox }: Environment, region: string): Finding[] {
  if (!DEFAULT_REGIONS.includes(region)) {
    return [
      error(
        `CloudFront cannot write its logs to buckets in ${region}: choose one of ${DEFAULT_REGIONS.join(', ')}.`,
      ),
    ];
  }
  const zones = FARGATE_ZONES[region];
  if (!zones || sandbox.zones) return [];
  return [
    error(
      `In ${region} only the zones ${zones} have Fargate: name ${sandbox.availabilityZones} of them, as this account calls them ` +
        `(aws ec2 describe-availability-zones), in sandbox.zones of ${name} in infra/environments.ts.`,
    ),
  ];
}

async function checkBootstrap(account: string, region: string): Promise<Finding[]> {
  const prepare = `npx cdk bootstrap aws://${account}/${region}`;
  try {
    const ssm = new SSMClient({ region });
    const { Parameter } = await ssm.send(new GetParameterCommand({ Name: BOOTSTRAP_PARAMETER }));
    const version = Number(Parameter?.Value);
    if (version < BOOTSTRAP_VERSION) {
      return [
        error(
          `The account was prepared for ${region} by an old CDK (version ${version}): run ${prepare} again.`,
        ),
      ];
    }
  } catch (failure) {
    const { name, message } = failure as Error;
    if (name === 'ParameterNotFound') {
      return [error(`The account is not prepared for ${region}: run ${prepare} once.`)];
    }
    return [warning(`Whether the account is prepared for ${region} cannot be seen (${message}).`)];
  }
  return checkBucket(account, region, prepare);
}

/** The bucket through which a deployment goes. Its name can be guessed, and be taken by somebody else. */
async function checkBucket(account: string, region: string, prepare: string): Promise<Finding[]> {
  const bucket = `cdk-hnb659fds-assets-${account}-${region}`;
  try {
    const s3 = new S3Client({ region });
    await s3.send(new HeadBucketCommand({ Bucket: bucket, ExpectedBucketOwner: account }));
    return [];
  } catch (failure) {
    const { $metadata, message } = failure as Error & { $metadata?: { httpStatusCode?: number } };
    if ($metadata?.httpStatusCode === 404) {
      return [
        error(
          `The bucket ${bucket} is gone: delete the stack CDKToolkit in ${region} and run ${prepare} again.`,
        ),
      ];
    }
    if ($metadata?.httpStatusCode === 403) {
      return [
        error(
          `The bucket ${bucket} is another account's, or these credentials may not look at it: ` +
            'ask an administrator before anything is uploaded to it.',
        ),
      ];
    }
    return [warning(`The bucket ${bucket} cannot be looked at (${message}).`)];
  }
}

async function checkQuotas({ name, sandbox, limits }: Environment, region: string): Promise<Finding[]> {
  const raise = ({ name: quota }: { name: string }) =>
    `raise the quota (Service Quotas, ${quota}, in ${region})`;
  const cpus = (sandboxes: number) => (sandboxes * sandbox.cpu) / 1024;
  try {
    const [functions, vcpus] = await Promise.all([readQuota(QUOTAS.functions), readQuota(QUOTAS.cpus)]);
    const found: Finding[] = [];
    const reserved = Object.values(limits.concurrency ?? {}).reduce((sum, one) => sum + one, 0);
    if (reserved > 0 && functions < reserved + UNRESERVED) {
      found.push(
        error(
          `${name} reserves ${reserved} concurrent executions of Lambda and ${UNRESERVED} must stay free, but the account ` +
            `has ${functions}: ${raise(QUOTAS.functions)}, or lower limits.concurrency.`,
        ),
      );
    } else if (functions < limits.quotas.executionsAtOnce * FUNCTIONS_OF_EXECUTION) {
      found.push(
        warning(
          `The account may run only ${functions} functions at once, as new ones do: more than about ` +
            `${Math.max(Math.floor(functions / FUNCTIONS_OF_EXECUTION), 1)} executions at a time will wait or be asked to ` +
            `come back; to change that, ${raise(QUOTAS.functions)}.`,
        ),
      );
    }
    const needed = cpus(sandbox.warm + 1);
    const wanted = cpus(sandbox.warm + limits.quotas.executionsAtOnce);
    if (vcpus < needed) {
      found.push(
        error(
          `${name} needs ${needed} vCPUs of Fargate for its warm sandboxes and one more, but the account has ${vcpus}: ` +
            `${raise(QUOTAS.cpus)}, or lower sandbox.warm or sandbox.cpu.`,
        ),
      );
    } else if (vcpus < wanted) {
      found.push(
        warning(
          `The account has ${vcpus} vCPUs of Fargate, too few for what one caller may run at once (${wanted}): ` +
            `${raise(QUOTAS.cpus)}.`,
        ),
      );
    }
    return found;
  } catch (failure) {
    return [warning(`The account's quotas cannot be looked at (${(failure as Error).message}).`)];
  }
}

/** An account's quota; AWS's default if it was never changed. */
async function readQuota({
  ServiceCode,
  QuotaCode,
}: {
  ServiceCode: string;
  QuotaCode: string;
}): Promise<number> {
  const quotas = new ServiceQuotasClient();
  try {
    const { Quota } = await quotas.send(new GetServiceQuotaCommand({ ServiceCode, QuotaCode }));
    return Quota?.Value ?? Number.POSITIVE_INFINITY;
  } catch (failure) {
    if ((failure as Error).name !== 'NoSuchResourceException') throw failure;
    const { Quota } = await quotas.send(new GetAWSDefaultServiceQuotaCommand({ ServiceCode, QuotaCode }));
    return Quota?.Value ?? Number.POSITIVE_INFINITY;
  }
}

async function checkDocker({ name, sandbox }: Environment): Promise<Finding[]> {
  // The same variable by which the CDK is told of another program that does what Docker does.
  const command = process.env.CDK_DOCKER ?? 'docker';
  const docker = async (...args: string[]) => (await promisify(execFile)(command, args)).stdout;
  let machine: string;
  try {
    machine = (await docker('info', '--format', '{{.Architecture}}')).trim();
  } catch (failure) {
    const { code } = failure as { code?: unknown };
    return [
      error(
        code === 'ENOENT'
          ? 'Docker builds the sandbox image and is not installed: install it, or name a program like it by CDK_DOCKER.'
          : 'Docker builds the sandbox image and does not answer: start it, and see that you may use it (docker info).',
      ),
    ];
  }
  const [needed, platform] =
    sandbox.architecture === 'ARM64'
      ? [/^(aarch64|arm64)$/, 'linux/arm64']
      : [/^(x86_64|amd64)$/, 'linux/amd64'];
  if (needed.test(machine)) return [];
  const platforms = await docker('buildx', 'inspect').catch(() => '');
  if (platforms.includes(platform)) return [];
  const other = sandbox.architecture === 'ARM64' ? 'X86_64' : 'ARM64';
  return [
    error(
      `Docker on this machine (${machine}) cannot build for ${platform}: install QEMU's binfmt handlers, or set ` +
        `sandbox.architecture of ${name} to ${other} in infra/environments.ts.`,
    ),
  ];
}
