/** A template in a few readable lines: what there is, how often, and the properties that matter. */
import { ofType, type Synthesized, type Template } from './synthesize.ts';
import { resolve } from './values.ts';

/** What is shown of each resource of a type; of other types only their number. */
const SHOWN: Record<string, (properties: Record<string, unknown>) => unknown> = {
  'AWS::Lambda::Function': ({ Runtime, Timeout, MemorySize, ReservedConcurrentExecutions }) => ({
    Runtime,
    Timeout,
    MemorySize,
    ReservedConcurrentExecutions,
  }),
  'AWS::DynamoDB::Table': ({ BillingMode, DeletionProtectionEnabled, PointInTimeRecoverySpecification }) => ({
    BillingMode,
    DeletionProtectionEnabled,
    PointInTimeRecoverySpecification,
  }),
  'AWS::S3::Bucket': ({ LifecycleConfiguration }) => LifecycleConfiguration,
  'AWS::ECS::TaskDefinition': ({ Cpu, Memory, RuntimePlatform, TaskRoleArn, ContainerDefinitions }) => ({
    Cpu,
    Memory,
    RuntimePlatform,
    TaskRoleArn,
    ContainerDefinitions: (ContainerDefinitions as object[]).map((container) => ({
      ...container,
      Image: '(asset)',
      LogConfiguration: undefined,
    })),
  }),
  'AWS::EC2::Subnet': ({ MapPublicIpOnLaunch, CidrBlock }) => ({ MapPublicIpOnLaunch, CidrBlock }),
  'AWS::EC2::VPCEndpoint': ({ ServiceName, VpcEndpointType }) => ({ ServiceName, VpcEndpointType }),
  'AWS::EC2::SecurityGroup': ({ SecurityGroupIngress, SecurityGroupEgress }) => ({
    SecurityGroupIngress,
    SecurityGroupEgress,
  }),
  'AWS::Route53Resolver::FirewallDomainList': ({ Domains }) => Domains,
  'AWS::ApiGatewayV2::Stage': ({ StageName, DefaultRouteSettings }) => ({ StageName, DefaultRouteSettings }),
  'AWS::ApiGatewayV2::Route': ({ RouteKey, AuthorizationType }) => ({ RouteKey, AuthorizationType }),
  'AWS::ApiGatewayV2::Authorizer': ({ AuthorizerType, IdentitySource, AuthorizerResultTtlInSeconds }) => ({
    AuthorizerType,
    IdentitySource,
    AuthorizerResultTtlInSeconds,
  }),
  'AWS::CloudFront::ResponseHeadersPolicy': ({ ResponseHeadersPolicyConfig }) =>
    (ResponseHeadersPolicyConfig as { SecurityHeadersConfig: { ContentSecurityPolicy: unknown } })
      .SecurityHeadersConfig.ContentSecurityPolicy,
  'AWS::StepFunctions::StateMachine': ({ StateMachineType, TracingConfiguration, LoggingConfiguration }) => ({
    StateMachineType,
    TracingConfiguration,
    Logging: { ...(LoggingConfiguration as object), Destinations: undefined },
  }),
  'AWS::Events::Rule': ({ ScheduleExpression, EventPattern }) => ScheduleExpression ?? EventPattern,
  'AWS::CloudWatch::Alarm': ({ Threshold, EvaluationPeriods, ComparisonOperator }) => ({
    Threshold,
    EvaluationPeriods,
    ComparisonOperator,
  }),
  'AWS::Logs::LogGroup': ({ LogGroupName, RetentionInDays }) => ({ LogGroupName, RetentionInDays }),
  'AWS::Budgets::Budget': ({ Budget }) => (Budget as { BudgetLimit: unknown }).BudgetLimit,
  'AWS::WAFv2::WebACL': ({ Scope, Rules }) => ({
    Scope,
    Rules: (Rules as { Name: string }[]).map(({ Name }) => Name),
  }),
};

export function inventory({ service, firewall }: Synthesized): string {
  const parts = [`Service\n${describe(service)}`];
  if (firewall) parts.push(`Firewall\n${describe(firewall)}`);
  return `${parts.join('\n\n')}\n`;
}

function describe(template: Template): string {
  const types = [...new Set(Object.values(template.Resources).map(({ Type }) => Type))].sort();
  return types
    .flatMap((type) => {
      const resources = ofType(template, type);
      const show = SHOWN[type];
      const lines = resources.map(([id, { Properties, DeletionPolicy }]) => {
        const kept = DeletionPolicy?.startsWith('Retain') ? ' (kept)' : '';
        const shown = show
          ? ` ${JSON.stringify(show(resolve(Properties, template) as typeof Properties))}`
          : '';
        return `    ${withoutHash(id)}${kept}${shown}`;
      });
      return [`  ${type} × ${resources.length}`, ...(show ? lines.sort() : [])];
    })
    .join('\n');
}

/** A logical id without the hash at its end. */
const withoutHash = (id: string) => id.replace(/[0-9A-F]{8}$/, '');
