/** What calls what, followed through the template: names and counts may be right and the wrong function still be called. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Route, routes } from '../../functions/api/routes.ts';
import { UPLOAD_EVENTS } from '../../functions/sandbox/upload-events.ts';
import { bundle } from '../../infra/bundle.ts';
import { definitions, type Handler } from '../../infra/constructs/functions.ts';
import { environments } from '../../infra/environments.ts';
import { assetOf, functionsOf, ofType, synthesize, type Template } from './synthesize.ts';

/** The handler of the one function that `value`, an ARN or an URI of an invocation, refers to. */
function calledBy(value: unknown, functions: ReturnType<typeof functionsOf>): string | undefined {
  const text = JSON.stringify(value);
  return [...functions].find(([, { id }]) => text.includes(`"${id}"`))?.[0];
}

/** The type of the resource that a variable names. */
const typeBehind = (value: unknown, { Resources }: Template) => {
  const { Ref, 'Fn::GetAtt': got } = (value ?? {}) as { Ref?: string; 'Fn::GetAtt'?: [string, string] };
  return Resources[Ref ?? got?.[0] ?? '']?.Type;
};

describe.each(environments.map(({ name }) => name))('%s', (name) => {
  const synthesized = synthesize(name);
  const { service } = synthesized;
  const functions = functionsOf(synthesized);
  const resource = (id: string) => service.Resources[id]?.Properties ?? {};
  const only = (type: string) => ofType(service, type)[0]?.[1].Properties ?? {};

  it('calls for each route its own function, and the authorizer for those that are not open', () => {
    const integrated = (target: unknown) => {
      const [, parts] = (target as { 'Fn::Join': [string, [string, { Ref: string }]] })['Fn::Join'];
      return calledBy(resource(parts[1].Ref).IntegrationUri, functions);
    };
    const found = Object.fromEntries(
      ofType(service, 'AWS::ApiGatewayV2::Route').map(([, { Properties }]) => [
        Properties.RouteKey,
        integrated(Properties.Target),
      ]),
    );
    expect(found).toEqual({
      ...Object.fromEntries(
        (routes as readonly Route[]).map(({ method, path, handler }) => [
          `${method} ${path}`,
          `api/${handler}`,
        ]),
      ),
      $connect: 'realtime/connect',
      $disconnect: 'realtime/disconnect',
      $default: 'realtime/message',
    });
    const authorizers = ofType(service, 'AWS::ApiGatewayV2::Authorizer');
    expect(authorizers.map(([, { Properties }]) => calledBy(Properties.AuthorizerUri, functions))).toEqual([
      'api/authorizer',
    ]);
  });

  it('calls for each state of the workflow the function of its name', () => {
    const substitutions = only('AWS::StepFunctions::StateMachine').DefinitionSubstitutions as Record<
      string,
      unknown
    >;
    const arns = Object.entries(substitutions).filter(([key]) => key.endsWith('FunctionArn'));
    expect(arns.length).toBeGreaterThan(7);
    for (const [key, value] of arns) {
      const state = key
        .replace('FunctionArn', '')
        .replace(/(?<=.)[A-Z]/g, '-$&')
        .toLowerCase();
      expect(calledBy(value, functions)).toBe(`states/${state}`);
    }
  });

  it('has uploads, ends of tasks and workflows, and every minute call their functions', () => {
    const rules = ofType(service, 'AWS::Events::Rule').map(([id, { Properties }]) => [
      /Workflow(\w+?)[0-9A-F]{8}$/.exec(id)?.[1],
      calledBy((Properties.Targets as { Arn: unknown }[])[0]?.Arn, functions),
    ]);
    expect(Object.fromEntries(rules)).toEqual({
      SandboxStopped: 'triggers/sandbox-state-change',
      WorkflowEnded: 'triggers/workflow-ended',
      EveryMinute: 'triggers/maintain',
    });
    const { LambdaFunctionConfigurations } = only('Custom::S3BucketNotifications')
      .NotificationConfiguration as {
      LambdaFunctionConfigurations: { LambdaFunctionArn: unknown; Filter: unknown }[];
    };
    expect(LambdaFunctionConfigurations).toHaveLength(1);
    expect(calledBy(LambdaFunctionConfigurations[0]?.LambdaFunctionArn, functions)).toBe(
      'triggers/collect-result',
    );
    expect(LambdaFunctionConfigurations[0]?.Filter).toEqual({
      Key: {
        FilterRules: [
          { Name: 'suffix', Value: UPLOAD_EVENTS.suffix },
          { Name: 'prefix', Value: UPLOAD_EVENTS.prefix },
        ],
      },
    });
  });

  it('names in its variables what they say', () => {
    const types = {
      TABLE_NAME: 'AWS::DynamoDB::Table',
      BUCKET_NAME: 'AWS::S3::Bucket',
      SANDBOX_CLUSTER: 'AWS::ECS::Cluster',
      OPENAI_API_KEY_SECRET_ARN: 'AWS::SecretsManager::Secret',
    };
    for (const [handler, { Properties }] of functions) {
      const { Variables = {} } = (Properties.Environment ?? {}) as { Variables?: Record<string, unknown> };
      for (const [variable, type] of Object.entries(types)) {
        if (!(variable in Variables)) continue;
        expect(typeBehind(Variables[variable], service), `${handler} ${variable}`).toBe(type);
      }
      const { Ref } = (Variables.BUCKET_NAME ?? { Ref: 'StorageFiles' }) as { Ref: string };
      expect(Ref).toMatch(/^StorageFiles/);
    }
  });

  it('gives each function its own code, with the handler that it names', async () => {
    const handlers = Object.keys(definitions) as Handler[];
    const bundles = bundle(handlers);
    for (const handler of handlers) {
      const [file = '', exported = ''] = String(functions.get(handler)?.Properties.Handler).split('.');
      const code = readFileSync(join(assetOf(synthesized, handler), `${file}.mjs`), 'utf8');
      expect(code === readFileSync(join(bundles[handler], 'index.mjs'), 'utf8'), handler).toBe(true);
      expect(code).toMatch(new RegExp(`export\\{[^}]*\\b${exported}\\b[^}]*\\}`));
    }
  });

  it('traces every function, and keeps what asynchronous ones give up', () => {
    const kept = new Set(
      ofType(service, 'AWS::Lambda::EventInvokeConfig')
        .filter(([, { Properties }]) => JSON.stringify(Properties.DestinationConfig).includes('DeadLetters'))
        .map(([, { Properties }]) => calledBy(Properties.FunctionName, functions)),
    );
    for (const [handler, { Properties }] of functions) {
      expect(Properties.TracingConfig, handler).toEqual({ Mode: 'Active' });
      const { asynchronous = false } = definitions[handler as Handler] ?? {};
      expect(kept.has(handler), handler).toBe(asynchronous);
    }
  });

  it('has the image built for the processor that runs it, and lets it be pulled', () => {
    const manifest = readdirSync(synthesized.assembly).find((file) => /Service\w*\.assets\.json$/.test(file));
    const { dockerImages } = JSON.parse(readFileSync(join(synthesized.assembly, manifest ?? ''), 'utf8')) as {
      dockerImages: Record<string, { source: { platform: string } }>;
    };
    const { CpuArchitecture } = only('AWS::ECS::TaskDefinition').RuntimePlatform as {
      CpuArchitecture: string;
    };
    expect(Object.values(dockerImages).map(({ source }) => source.platform)).toEqual([
      { ARM64: 'linux/arm64', X86_64: 'linux/amd64' }[CpuArchitecture],
    ]);
    const role = ofType(service, 'AWS::IAM::Policy').filter(([id]) => id.startsWith('SandboxExecutionRole'));
    const granted = JSON.stringify(role);
    for (const action of [
      'ecr:GetAuthorizationToken',
      'ecr:BatchGetImage',
      'ecr:GetDownloadUrlForLayer',
      'logs:PutLogEvents',
    ]) {
      expect(granted).toContain(action);
    }
  });

  it.runIf(synthesized.environment.sandbox.network === 'isolated')(
    'lets a sandbox reach its files, its image and its log only',
    () => {
      const endpoints = ofType(service, 'AWS::EC2::VPCEndpoint').map(([, { Properties }]) => Properties);
      const [files = {}, ...others] = endpoints.toSorted((a) => (a.VpcEndpointType === 'Gateway' ? -1 : 1));
      const { Statement } = files.PolicyDocument as { Statement: { Action: string; Resource: unknown }[] };
      const resources = Object.fromEntries(
        Statement.map(({ Action, Resource }) => [Action, JSON.stringify(Resource)]),
      );
      expect(Object.keys(resources)).toEqual(['s3:GetObject', 's3:PutObject']);
      expect(
        resources['s3:GetObject']?.match(/manifests|jobs|mailbox|-starport-layer-bucket/g)?.sort(),
      ).toEqual(['-starport-layer-bucket', 'jobs', 'mailbox', 'manifests']);
      // Of a mailbox only the files that programs left, which later executions may be given.
      expect(resources['s3:GetObject']).toContain('/mailbox/*/artifacts/*');
      expect(resources['s3:PutObject']).toMatch(/StorageFiles.*\/mailbox\/\*/);
      expect(others).toHaveLength(3);
      for (const { PolicyDocument } of others) {
        expect(JSON.stringify(PolicyDocument)).toContain('"aws:PrincipalAccount":{"Ref":"AWS::AccountId"}');
      }
      const [[vpc = ''] = []] = ofType(service, 'AWS::EC2::VPC');
      expect(only('AWS::Route53Resolver::FirewallRuleGroupAssociation').VpcId).toEqual({ Ref: vpc });
    },
  );

  it('lets the workflow do what it needs, and nothing else', () => {
    const actions = ofType(service, 'AWS::IAM::Policy')
      .filter(([id]) => id.startsWith('WorkflowStateMachineRole'))
      .flatMap(
        ([, { Properties }]) =>
          (Properties.PolicyDocument as { Statement: { Action: string[] }[] }).Statement,
      )
      .flatMap(({ Action }) => Action);
    expect([...new Set(actions)].filter((action) => !/^(logs|xray):/.test(action)).sort()).toEqual([
      'ecs:RunTask',
      'ecs:TagResource',
      'iam:PassRole',
      'lambda:InvokeFunction',
    ]);
    expect(
      actions.filter((action) => /^logs:(Delete(?!LogDelivery)|Create(?!LogDelivery))/.test(action)),
    ).toEqual([]);
  });

  it('tags what it makes with the environment', () => {
    const types = [
      'AWS::Lambda::Function',
      'AWS::DynamoDB::Table',
      'AWS::S3::Bucket',
      'AWS::ECS::Cluster',
      'AWS::ECS::TaskDefinition',
      'AWS::StepFunctions::StateMachine',
      'AWS::CloudFront::Distribution',
    ];
    for (const type of types) {
      for (const [id, { Properties }] of ofType(service, type)) {
        // The construct library's own helpers have none.
        if (type === 'AWS::Lambda::Function' && !calledBy({ Ref: id }, functions)) continue;
        expect(Properties.Tags, id).toContainEqual({ Key: 'environment', Value: name });
      }
    }
  });

  it('has CloudFront keep nothing of the API', () => {
    const { CacheBehaviors } = only('AWS::CloudFront::Distribution').DistributionConfig as {
      CacheBehaviors: { CachePolicyId: string }[];
    };
    // The managed policy CachingDisabled.
    const disabled = '4135ea2d-6df8-44a3-9df3-4b5a84be39ad';
    expect(CacheBehaviors.map(({ CachePolicyId }) => CachePolicyId)).toEqual([disabled, disabled, disabled]);
  });
});
