import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import aslValidator from 'asl-validator';
import { AwsSolutionsChecks } from 'cdk-nag';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Route, routes } from '../../functions/api/routes.ts';
import { bundle, root } from '../../infra/bundle.ts';
import { definitions, type Handler } from '../../infra/constructs/functions.ts';
import { environments } from '../../infra/environments.ts';
import { variablesRead } from './handler-environment.ts';
import { inventory } from './inventory.ts';
import { policiesOf, wildcardActions } from './permissions.ts';
import {
  assetOf,
  functionsOf,
  ofType,
  type Synthesized,
  synthesize,
  synthesizeWith,
  type Template,
} from './synthesize.ts';
import { resolve } from './values.ts';

const handlers = Object.keys(definitions) as Handler[];

const read = variablesRead(handlers);
/** Variables that are not set on AWS: the key is in a secret there, and the other has a default that holds. */
const UNSET = ['OPENAI_API_KEY', 'OPENAI_TIMEOUT', 'OPENAI_PATIENCE'];
/** Variables of code that is in a bundle and that its handler does not reach. */
const UNREACHED: Partial<Record<Handler, string[]>> = {
  // Handlers whose schemas it describes.
  'api/get-openapi': ['TABLE_NAME', 'BUCKET_NAME'],
  // Cancelling, which ends an execution as they do, but only an API call does it.
  'states/finish-execution': ['STATE_MACHINE_ARN'],
  'triggers/workflow-ended': ['STATE_MACHINE_ARN'],
};

/** The properties of all resources of a type, which a test knows to have those of `P`. */
const propertiesOf = <P extends object>(template: Template, type: string) =>
  ofType(template, type).map(([id, { Properties }]) => ({ ...(Properties as P), id }));

interface Container {
  LinuxParameters: { Capabilities: { Add?: string[]; Drop: string[] } };
}

interface Statement {
  Action: string | string[];
  Resource: string | string[];
}

/** The one state machine: its definition, and what is put in for `${Name}`. */
function stateMachineOf(service: Template): { definition: string; values: Record<string, string> } {
  const [machine] = propertiesOf<{ DefinitionString: string; DefinitionSubstitutions: object }>(
    service,
    'AWS::StepFunctions::StateMachine',
  );
  if (!machine) throw new Error('The template has no state machine.');
  return {
    definition: machine.DefinitionString,
    values: resolve(machine.DefinitionSubstitutions, service) as Record<string, string>,
  };
}

/** What is set on a function. */
const variablesOf = (properties: object | undefined) =>
  (properties as { Environment?: { Variables?: Record<string, unknown> } } | undefined)?.Environment
    ?.Variables ?? {};

describe.each(environments.map(({ name }) => name))('%s', (name) => {
  let synthesized: Synthesized;
  let service: Template;

  beforeAll(() => {
    synthesized = synthesize(name);
    service = synthesized.service;
  });

  it('is what was looked at last', async () => {
    await expect(inventory(synthesized)).toMatchFileSnapshot(`snapshots/${name}.txt`);
  });

  it('has no unacknowledged finding of cdk-nag', () => {
    const { violations } = new AwsSolutionsChecks().validateScope(synthesized.stage);
    expect(violations.map(({ ruleName, violatingResources }) => [ruleName, violatingResources])).toEqual([]);
  });

  it('gives the sandbox no role, no writable root and no capability that it does not need', () => {
    const [task] = propertiesOf<{ ContainerDefinitions: Container[] }>(service, 'AWS::ECS::TaskDefinition');
    expect(task).not.toHaveProperty('TaskRoleArn');
    const [sandbox] = task?.ContainerDefinitions ?? [];
    expect(sandbox).toMatchObject({
      ReadonlyRootFilesystem: true,
      LinuxParameters: { InitProcessEnabled: true, Tmpfs: [{ ContainerPath: '/tmp' }] },
    });
    expect(sandbox).not.toHaveProperty('Secrets');
    expect(sandbox).not.toHaveProperty('Privileged');
    const { Add, Drop } = sandbox?.LinuxParameters.Capabilities ?? { Drop: [] };
    expect(Add).toBeUndefined();
    const ofDocker =
      'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT';
    expect(ofDocker.split(' ').filter((one) => !Drop.includes(one))).toEqual([
      'CHOWN',
      'DAC_OVERRIDE',
      'FOWNER',
      'KILL',
      'SETGID',
      'SETUID',
    ]);
  });

  it('lets nothing into a sandbox, and out to HTTPS only', () => {
    const [group] = propertiesOf<{ SecurityGroupEgress: object[] }>(
      service,
      'AWS::EC2::SecurityGroup',
    ).filter(({ id }) => id.startsWith('SandboxNetworkSecurityGroup'));
    expect(group).not.toHaveProperty('SecurityGroupIngress');
    expect(group?.SecurityGroupEgress).toMatchObject([{ FromPort: 443, ToPort: 443, IpProtocol: 'tcp' }]);
  });

  it('lets a sandbox reach its mailbox and inputs in S3, and no other files', () => {
    const [endpoint] = propertiesOf<{ VpcEndpointType: string; PolicyDocument: unknown }>(
      service,
      'AWS::EC2::VPCEndpoint',
    ).filter(({ VpcEndpointType }) => VpcEndpointType === 'Gateway');
    const { Statement } = resolve(endpoint?.PolicyDocument, service) as { Statement: Statement[] };
    const objects = (action: string) =>
      Statement.filter(({ Action }) => Action === action)
        .flatMap(({ Resource }) => Resource)
        .map((arn) => arn.slice(arn.indexOf('/') + 1));
    expect(objects('s3:GetObject')).toEqual([
      '*', // layers of images, in a bucket of AWS
      'files/*',
      'jobs/*',
      'mailbox/*/artifacts/*',
      'manifests/*',
    ]);
    expect(objects('s3:PutObject')).toEqual(['mailbox/*']);
  });

  it('has a way to the internet in public mode only', () => {
    const isolated = synthesized.environment.sandbox.network === 'isolated';
    expect(ofType(service, 'AWS::EC2::Route').length > 0).toBe(!isolated);
    expect(ofType(service, 'AWS::EC2::NatGateway')).toEqual([]);
    expect(ofType(service, 'AWS::EC2::InternetGateway')).toHaveLength(isolated ? 0 : 1);
    const rules = propertiesOf<{ FirewallRules: object[] }>(
      service,
      'AWS::Route53Resolver::FirewallRuleGroup',
    );
    expect(rules).toHaveLength(isolated ? 1 : 0);
    if (isolated) {
      const lists = propertiesOf<{ Domains: unknown }>(service, 'AWS::Route53Resolver::FirewallDomainList');
      const allowed = lists.flatMap(({ Domains }) => resolve(Domains, service) as string[]);
      expect(allowed.filter((domain) => domain.includes('*'))).toEqual(['*']);
      expect(rules[0]?.FirewallRules).toMatchObject([{ Action: 'ALLOW' }, { Action: 'BLOCK', Priority: 2 }]);
    }
  });

  it('has no bucket that the public may read', () => {
    for (const bucket of propertiesOf<{ PublicAccessBlockConfiguration: object }>(
      service,
      'AWS::S3::Bucket',
    )) {
      expect(bucket.PublicAccessBlockConfiguration).toEqual({
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      });
      expect(bucket).toHaveProperty('BucketEncryption');
      expect(bucket).not.toHaveProperty('AccessControl', 'PublicRead');
    }
  });

  it('keeps its data where it should', () => {
    const { keepsData } = synthesized.environment;
    const [[, table] = []] = ofType(service, 'AWS::DynamoDB::Table');
    expect(table?.DeletionPolicy).toBe(keepsData ? 'Retain' : 'Delete');
    expect(table?.Properties.DeletionProtectionEnabled).toBe(keepsData);
    const [[, files] = []] = ofType(service, 'AWS::S3::Bucket').filter(([id]) =>
      id.startsWith('StorageFiles'),
    );
    expect(files?.DeletionPolicy).toBe(keepsData ? 'Retain' : 'Delete');
  });

  it('limits and logs the requests of both APIs', () => {
    const stages = propertiesOf<{ StageName: string; DefaultRouteSettings: object }>(
      service,
      'AWS::ApiGatewayV2::Stage',
    );
    expect(stages.map(({ StageName }) => StageName).sort()).toEqual(['api', 'ws']);
    for (const stage of stages) {
      expect(stage.DefaultRouteSettings).toMatchObject({
        ThrottlingRateLimit: synthesized.environment.limits.requestsPerSecond,
        ThrottlingBurstLimit: synthesized.environment.limits.burst,
      });
      expect(stage).toHaveProperty('AccessLogSettings.DestinationArn');
    }
  });

  it('has every route, and asks who calls on every one that is not open', () => {
    const found = propertiesOf<{ RouteKey: string; AuthorizationType: string }>(
      service,
      'AWS::ApiGatewayV2::Route',
    )
      .filter(({ RouteKey }) => !RouteKey.startsWith('$'))
      .map(({ RouteKey, AuthorizationType }) => [RouteKey, AuthorizationType]);
    const wanted = (routes as readonly Route[]).map(({ method, path, open }) => [
      `${method} ${path}`,
      open ? 'NONE' : 'CUSTOM',
    ]);
    expect(found.sort()).toEqual(wanted.sort());
  });

  it('serves page, API, WebSockets and files on one domain, the APIs by the secret of CloudFront', () => {
    const [distribution] = propertiesOf<{
      DistributionConfig: {
        CacheBehaviors: { PathPattern: string }[];
        Origins: { CustomOriginConfig?: object; OriginCustomHeaders?: { HeaderName: string }[] }[];
        WebACLId?: unknown;
        CustomErrorResponses: { ErrorCode: number; ErrorCachingMinTTL: number }[];
      };
    }>(service, 'AWS::CloudFront::Distribution');
    if (!distribution) throw new Error('The template has no distribution.');
    const config = distribution.DistributionConfig;
    expect(config.CacheBehaviors.map(({ PathPattern }) => PathPattern)).toEqual([
      '/api/*',
      '/ws',
      '/files/*',
    ]);
    for (const { CustomOriginConfig, OriginCustomHeaders } of config.Origins) {
      const headers = (OriginCustomHeaders ?? []).map(({ HeaderName }) => HeaderName);
      expect(headers).toEqual(CustomOriginConfig ? ['x-origin-secret'] : []);
    }
    // One caller's 404 is not to be another's answer.
    const kept = config.CustomErrorResponses.filter(({ ErrorCachingMinTTL }) => ErrorCachingMinTTL === 0);
    expect(kept.map(({ ErrorCode }) => ErrorCode)).toEqual(expect.arrayContaining([403, 404, 500, 503]));
    expect('WebACLId' in config).toBe(synthesized.environment.firewall);
    // A task is a text about programs: looked at as an attack it would be refused.
    const rules = synthesized.firewall
      ? JSON.stringify(ofType(synthesized.firewall, 'AWS::WAFv2::WebACL'))
      : '';
    if (rules) {
      expect(rules).toMatch(/KnownBadInputsRuleSet","ScopeDownStatement":\{"NotStatement".*"\/api\/execute"/);
    }
  });

  it.each([
    ['PageRouter', '/', '/index.html'],
    ['PageRouter', '/executions/0190-abc', '/index.html'],
    ['PageRouter', '/assets/index-5d1a.js', '/assets/index-5d1a.js'],
    ['FileRouter', '/files/mailbox/s1/artifacts/1-1/plot%201.png', '/mailbox/s1/artifacts/1-1/plot%201.png'],
  ])('has CloudFront take, by its %s, %s as %s', (name, uri, expected) => {
    const code = propertiesOf<{ FunctionCode: string }>(service, 'AWS::CloudFront::Function').find(({ id }) =>
      id.startsWith(`Web${name}`),
    )?.FunctionCode;
    const handler = new Function(`${code}; return handler`)();
    expect(handler({ request: { uri } })).toEqual({ uri: expected });
  });

  it('passes the signature of a file on to S3, and no header, cookie or right of its own', () => {
    const [policy] = propertiesOf<{ OriginRequestPolicyConfig: object }>(
      service,
      'AWS::CloudFront::OriginRequestPolicy',
    );
    expect(policy?.OriginRequestPolicyConfig).toMatchObject({
      QueryStringsConfig: { QueryStringBehavior: 'all' },
      HeadersConfig: { HeaderBehavior: 'none' },
      CookiesConfig: { CookieBehavior: 'none' },
    });
    const withAccess = propertiesOf<{ PolicyDocument: unknown }>(service, 'AWS::S3::BucketPolicy').filter(
      ({ PolicyDocument }) => JSON.stringify(PolicyDocument).includes('cloudfront.amazonaws.com'),
    );
    expect(withAccess.map(({ id }) => id)).toEqual([expect.stringMatching(/^WebSite/)]);
  });

  it('lets alarms and the budget tell', () => {
    const policies = propertiesOf<{
      PolicyDocument: { Statement: { Effect: string; Principal?: object }[] };
    }>(service, 'AWS::SNS::TopicPolicy');
    const allowed = policies
      .flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
      .filter(({ Effect }) => Effect === 'Allow')
      .map(({ Principal }) => Principal);
    expect(allowed).toEqual([{ Service: ['budgets.amazonaws.com', 'cloudwatch.amazonaws.com'] }]);
  });

  it('holds no secret in plain text', () => {
    const text = JSON.stringify(service);
    expect(text.match(/"OPENAI_API_KEY"|\bsk-[A-Za-z0-9]{8}/g)).toBeNull();
    for (const { Properties } of functionsOf(synthesized).values()) {
      const { ORIGIN_SECRET } = variablesOf(Properties);
      if (ORIGIN_SECRET) expect(JSON.stringify(ORIGIN_SECRET)).toContain('{{resolve:secretsmanager:');
    }
  });

  it('has a state machine whose definition is valid, with nothing left to substitute', () => {
    const { definition, values } = stateMachineOf(service);
    const unused = new Set(Object.keys(values));
    const text = definition.replace(/\$\{(\w+)\}/g, (whole, key) => {
      unused.delete(key);
      return values[key] ?? whole;
    });
    expect(text.match(/\$\{\w+\}/g)).toBeNull();
    expect([...unused]).toEqual([]);
    const { isValid, errorsText } = aslValidator(JSON.parse(text));
    expect(isValid, errorsText?.('\n')).toBe(true);
  });

  it('tries again whatever state fails, for every step may be done twice', () => {
    type State = {
      Type: string;
      Resource?: string;
      Retry?: { ErrorEquals: string[] }[];
      Branches?: Machine[];
    };
    type Machine = { States: Record<string, State> };
    const all = ({ States }: Machine): [string, State][] =>
      Object.entries(States).flatMap(([name, state]) => [
        [name, state] as const,
        ...(state.Branches ?? []).flatMap(all),
      ]) as [string, State][];
    const machine = JSON.parse(stateMachineOf(service).definition) as Machine;
    const calling = all(machine).filter(([, { Resource = '' }]) => Resource.includes(':lambda:invoke'));
    expect(calling.length).toBeGreaterThan(7);
    const final = calling.filter(([, { Retry = [] }]) =>
      Retry.every(({ ErrorEquals }) => !/^States\.(TaskFailed|ALL)$/.test(ErrorEquals[0] ?? '')),
    );
    expect(final.map(([name]) => name)).toEqual([]);
  });

  it('has a workflow that may call its functions, start its task, and nothing else of ours', () => {
    const { values } = stateMachineOf(service);
    const statements = propertiesOf<{ PolicyDocument: unknown }>(service, 'AWS::IAM::Policy')
      .filter(({ id }) => id.startsWith('WorkflowStateMachineRole'))
      .map(({ PolicyDocument }) => resolve(PolicyDocument, service) as { Statement: Statement[] })
      .flatMap((document) => document.Statement);
    const resourcesOf = (action: string) =>
      statements.filter(({ Action }) => [Action].flat().includes(action)).flatMap(({ Resource }) => Resource);
    expect(resourcesOf('lambda:InvokeFunction').sort()).toEqual(
      Object.entries(values)
        .filter(([key]) => key.endsWith('FunctionArn'))
        .map(([, arn]) => arn)
        .sort(),
    );
    expect(resourcesOf('ecs:RunTask')).toEqual([
      expect.stringMatching(`:task-definition/${values.SandboxTaskDefinition}:\\*$`),
    ]);
    expect(resourcesOf('iam:PassRole')).toHaveLength(1);
  });

  it('sets on each function the variables that it reads, and no others', () => {
    const functions = functionsOf(synthesized);
    const difference = handlers.map((handler) => {
      const set = Object.keys(variablesOf(functions.get(handler)?.Properties));
      const unset = [...UNSET, ...(UNREACHED[handler] ?? [])];
      const wanted = [...(read.get(handler) ?? [])].filter((variable) => !unset.includes(variable));
      return {
        handler,
        missing: wanted.filter((variable) => !set.includes(variable)),
        needless: set.filter((variable) => !wanted.includes(variable)),
      };
    });
    expect(difference.filter(({ missing, needless }) => missing.length + needless.length > 0)).toEqual([]);
  });

  it('checks programs with the Python that the sandbox has', () => {
    const dockerfile = readFileSync(join(root, 'sandbox-image', 'Dockerfile'), 'utf8');
    const version = /\bpython:(\d+\.\d+)/.exec(dockerfile)?.[1];
    expect(functionsOf(synthesized).get('states/check-code')?.Properties.Runtime).toBe(`python${version}`);
  });

  it('grants no action by a pattern', () => {
    expect(wildcardActions(policiesOf(synthesized))).toEqual([]);
  });

  it('tells for every alarm what to do', () => {
    const headings = readFileSync(join(root, 'docs', 'operations.md'), 'utf8').match(/^#+ .*$/gm) ?? [];
    const anchors = headings.map((heading) => heading.replace(/^#+ /, ''));
    const alarms = propertiesOf<{ AlarmDescription: string; AlarmActions: object[] }>(
      service,
      'AWS::CloudWatch::Alarm',
    );
    for (const { AlarmDescription, AlarmActions } of alarms) {
      const anchor = /docs\/operations\.md#([\w-]+)$/.exec(AlarmDescription)?.[1];
      expect(anchors).toContain(anchor);
      expect(AlarmActions).toHaveLength(1);
    }
  });
});

describe('settings', () => {
  it('make a JWT authorizer of an issuer', () => {
    const { service } = synthesizeWith('dev', {
      auth: { type: 'jwt', issuer: 'https://issuer.example', audience: ['executor'] },
    });
    expect(propertiesOf(service, 'AWS::ApiGatewayV2::Authorizer')).toMatchObject([
      {
        AuthorizerType: 'JWT',
        JwtConfiguration: { Issuer: 'https://issuer.example', Audience: ['executor'] },
      },
    ]);
    const types = propertiesOf<{ AuthorizationType: string }>(service, 'AWS::ApiGatewayV2::Route').map(
      ({ AuthorizationType }) => AuthorizationType,
    );
    expect(new Set(types)).toEqual(new Set(['JWT', 'NONE']));
  });

  it('serve a domain of ours', () => {
    const certificateArn = 'arn:aws:acm:us-east-1:111122223333:certificate/1';
    const { service } = synthesizeWith('dev', { domain: { name: 'run.example.com', certificateArn } });
    expect(propertiesOf(service, 'AWS::CloudFront::Distribution')).toMatchObject([
      {
        DistributionConfig: {
          Aliases: ['run.example.com'],
          ViewerCertificate: { AcmCertificateArn: certificateArn, MinimumProtocolVersion: 'TLSv1.2_2021' },
        },
      },
    ]);
  });
});

describe('a sandbox', () => {
  const { sandbox } = environments[0] as (typeof environments)[number];
  const withSandbox = (changed: object) =>
    synthesizeWith('dev', { sandbox: { ...sandbox, ...changed } as typeof sandbox });

  it('is where its zones are', () => {
    const { service } = withSandbox({ zones: ['us-west-1a', 'us-west-1c'] });
    const zones = propertiesOf<{ AvailabilityZone: unknown }>(service, 'AWS::EC2::Subnet');
    expect(zones.map(({ AvailabilityZone }) => AvailabilityZone)).toEqual(['us-west-1a', 'us-west-1c']);
  });

  it.each([
    [{ zones: ['us-west-1a'] }, /dev: sandbox\.zones must name as many zones .*: 2/],
    [
      { cpu: 2048, memoryMiB: 2048 },
      /dev: with sandbox\.cpu 2048 Fargate has no sandbox\.memoryMiB of 2048; .*4096/,
    ],
    [{ cpu: 700 }, /dev: sandbox\.cpu must be one of 512, 1024, 2048, not 700/],
  ])('is not made of %j', (changed, message) => {
    expect(() => withSandbox(changed)).toThrow(message);
  });
});

describe("a program's memory", () => {
  const { limits } = environments[0] as (typeof environments)[number];

  it.each(environments)('is the same in $name, and fits into its task', ({ limits }) => {
    expect(limits.sandboxMemoryMb).toBe(1024);
  });

  it('is told to the sandbox and to the model', () => {
    const { service } = synthesizeWith('dev', { limits: { ...limits, sandboxMemoryMb: 512 } });
    const [task] = propertiesOf<{ ContainerDefinitions: { Environment: object[] }[] }>(
      service,
      'AWS::ECS::TaskDefinition',
    );
    expect(task?.ContainerDefinitions[0]?.Environment).toEqual([{ Name: 'SANDBOX_MEMORY_MB', Value: '512' }]);
    const told = propertiesOf<{ Environment?: { Variables: { SANDBOX_MEMORY_MB?: string } } }>(
      service,
      'AWS::Lambda::Function',
    ).map(({ Environment }) => Environment?.Variables.SANDBOX_MEMORY_MB);
    expect(told.filter(Boolean)).toEqual(['512']);
  });

  it.each([127, 1025, Number.NaN])('of %d MB is refused', (sandboxMemoryMb) => {
    expect(() => synthesizeWith('dev', { limits: { ...limits, sandboxMemoryMb } })).toThrow(
      /dev: with sandbox\.memoryMiB 2048 limits\.sandboxMemoryMb must be from 128 to 1024/,
    );
  });
});

describe('bundles', () => {
  it('load and export their handlers', () => {
    const files = Object.values(bundle(handlers)).map(
      (folder) => pathToFileURL(join(folder, 'index.mjs')).href,
    );
    const load = `for (const file of ${JSON.stringify(files)}) {
      const { handler } = await import(file);
      if (typeof handler !== 'function') throw new Error(file + ' has no handler');
    }`;
    execFileSync(process.execPath, ['--input-type=module', '--eval', load], {
      env: { AWS_REGION: 'eu-central-1', AWS_LAMBDA_FUNCTION_NAME: 'test' },
      stdio: 'pipe',
    });
  });

  it('are small', () => {
    const large = Object.entries(bundle(handlers))
      .map(([handler, folder]) => [handler, statSync(join(folder, 'index.mjs')).size] as const)
      .filter(([, size]) => size > 1.25 * 1024 * 1024);
    expect(large).toEqual([]);
  });

  it('of the policy check has its rules and nothing else of the sandbox image', () => {
    const synthesized = synthesize('dev');
    const folder = assetOf(synthesized, 'states/check-code');
    const load = 'from policy.check_code import handler; assert callable(handler)';
    execFileSync('python3', ['-B', '-c', load], { cwd: folder });
    expect(existsSync(join(folder, 'sandbox'))).toBe(false);
    expect(existsSync(join(folder, 'Dockerfile'))).toBe(false);
  });
});
