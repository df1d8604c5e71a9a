/** A Lambda function as all of ours are: ARM64, traced, its own log group and a role that may do nothing else yet. */
import { RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { Environment } from '../environments.ts';

export interface ServiceFunctionProps
  extends Required<Pick<lambda.FunctionProps, 'runtime' | 'handler' | 'code' | 'timeout' | 'memorySize'>>,
    Pick<lambda.FunctionProps, 'environment' | 'reservedConcurrentExecutions'> {
  /** For the name of the log group, such as `api/execute`. */
  name: string;
  settings: Environment;
}

export class ServiceFunction extends lambda.Function {
  constructor(scope: Construct, id: string, { name, settings, ...props }: ServiceFunctionProps) {
    const logGroup = new logs.LogGroup(scope, `${id}Logs`, {
      logGroupName: `/recursive-ai-executor/${settings.name}/${name}`,
      retention: settings.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new iam.Role(scope, `${id}Role`, {
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    });
    role.addToPolicy(
      new iam.PolicyStatement({
        actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        resources: [logGroup.logGroupArn],
      }),
    );
    super(scope, id, {
      ...props,
      architecture: lambda.Architecture.ARM_64,
      // Without a tracer library: they rest on the X-Ray SDK, which gets no releases after February 2027.
      tracing: lambda.Tracing.ACTIVE,
      logGroup,
      role,
    });
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason:
        'X-Ray has no resources that a policy could name (xray:PutTraceSegments, xray:PutTelemetryRecords).',
    });
  }
}
