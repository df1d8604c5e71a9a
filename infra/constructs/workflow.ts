/** The workflow of an execution, and the events that its functions answer beside it. */
import { ArnFormat, Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { LambdaDestination } from 'aws-cdk-lib/aws-s3-notifications';
import * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { OWN_STOP } from '../../functions/sandbox/own-stops.ts';
import { UPLOAD_EVENTS } from '../../functions/sandbox/upload-events.ts';
import type { Environment } from '../environments.ts';
import { brokenRules } from '../state-machine-rules.ts';
import { workflow } from '../workflow.ts';
import { facts } from '../workflow-facts.ts';
import { acknowledgePatterns } from './acknowledge.ts';
import type { Functions, Handler } from './functions.ts';
import type { Sandbox } from './sandbox.ts';
import type { Storage } from './storage.ts';

/** The workflow's states by the functions that they call: `${AcquireSandboxFunctionArn}` and so on. */
const stateHandlers = {
  AcquireSandbox: 'states/acquire-sandbox',
  RecordSandbox: 'states/record-sandbox',
  GenerateCode: 'states/generate-code',
  RejectCode: 'states/reject-code',
  RunCode: 'states/run-code',
  RecoverRun: 'states/recover-run',
  FinishExecution: 'states/finish-execution',
} as const satisfies Record<string, Handler>;

/** The state machine has a name of its own, because its functions must know its ARN before it is made of them. */
const stateMachineName = ({ name }: Environment) => `recursive-ai-executor-${name}`;

export const stateMachineArn = (scope: Construct, environment: Environment) =>
  Stack.of(scope).formatArn({
    service: 'states',
    resource: 'stateMachine',
    resourceName: stateMachineName(environment),
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });

export interface WorkflowProps {
  environment: Environment;
  functions: Functions;
  sandbox: Sandbox;
  storage: Storage;
}

export class Workflow extends Construct {
  readonly stateMachine: sfn.StateMachine;

  constructor(scope: Construct, props: WorkflowProps) {
    super(scope, 'Workflow');
    this.stateMachine = this.createStateMachine(props);
    this.connectEvents(props);
  }

  private createStateMachine({ environment, functions, sandbox }: WorkflowProps): sfn.StateMachine {
    const called: Record<string, lambda.Function> = { CheckCode: functions.checkCode };
    for (const [state, handler] of Object.entries(stateHandlers)) called[state] = functions.get(handler);
    const { network } = sandbox;
    const broken = brokenRules(workflow, facts);
    if (broken.length > 0) throw new Error(`AWS would not run the workflow:\n${broken.join('\n')}`);

    const stateMachine = new sfn.StateMachine(this, 'StateMachine', {
      stateMachineName: stateMachineName(environment),
      stateMachineType: sfn.StateMachineType.STANDARD,
      definitionBody: sfn.DefinitionBody.fromString(JSON.stringify(workflow)),
      definitionSubstitutions: {
        ...Object.fromEntries(
          Object.entries(called).map(([state, fn]) => [`${state}FunctionArn`, fn.functionArn]),
        ),
        SandboxClusterArn: sandbox.cluster.clusterArn,
        SandboxTaskDefinition: sandbox.taskFamily,
        SandboxSubnets: network.subnets.map(({ subnetId }) => subnetId).join(','),
        SandboxSecurityGroups: network.securityGroup.securityGroupId,
        SandboxAssignPublicIp: network.assignPublicIp,
      },
      tracingEnabled: true,
      logs: {
        level: sfn.LogLevel.ALL,
        // It holds presigned URLs and task tokens.
        includeExecutionData: false,
        destination: new logs.LogGroup(this, 'Logs', {
          // Only groups below this prefix do without an entry each in a policy of limited size.
          logGroupName: `/aws/vendedlogs/states/recursive-ai-executor/${environment.name}`,
          retention: environment.logRetention,
          removalPolicy: RemovalPolicy.DESTROY,
        }),
      },
    });
    stateMachine.addToRolePolicy(
      new iam.PolicyStatement({
        actions: ['lambda:InvokeFunction'],
        resources: Object.values(called).map((fn) => fn.functionArn),
      }),
    );
    for (const statement of sandbox.runTaskStatements()) {
      stateMachine.addToRolePolicy(statement);
      acknowledgePatterns(stateMachine, {
        resources: statement.resources.filter((resource) => resource.endsWith('*')),
        reason: 'Every revision of one task definition.',
      });
    }
    Validations.of(stateMachine).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason:
        'Neither X-Ray nor the delivery of logs (logs:*LogDelivery*) has resources that a policy could name.',
    });
    return stateMachine;
  }

  private connectEvents({ functions, sandbox, storage }: WorkflowProps): void {
    storage.files.addEventNotification(
      s3.EventType.OBJECT_CREATED,
      new LambdaDestination(functions.get('triggers/collect-result')),
      UPLOAD_EVENTS,
    );
    const on = (id: string, handler: Handler, when: Pick<events.RuleProps, 'eventPattern' | 'schedule'>) =>
      new events.Rule(this, id, {
        ...when,
        targets: [
          new LambdaFunction(functions.get(handler), {
            deadLetterQueue: functions.deadLetters,
            retryAttempts: 3,
            maxEventAge: Duration.hours(1),
          }),
        ],
      });
    on('SandboxStopped', 'triggers/sandbox-state-change', {
      eventPattern: {
        source: ['aws.ecs'],
        detailType: ['ECS Task State Change'],
        detail: {
          clusterArn: [sandbox.cluster.clusterArn],
          lastStatus: ['STOPPED'],
          stoppedReason: [{ exists: false }, { 'anything-but': { prefix: OWN_STOP } }],
        },
      },
    });
    on('WorkflowEnded', 'triggers/workflow-ended', {
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          stateMachineArn: [this.stateMachine.stateMachineArn],
          status: ['FAILED', 'TIMED_OUT', 'ABORTED'],
        },
      },
    });
    on('EveryMinute', 'triggers/maintain', { schedule: events.Schedule.rate(Duration.minutes(1)) });
  }
}
