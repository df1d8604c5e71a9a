/** Where untrusted code runs: Fargate tasks without a task role, so without AWS credentials. Their code may write to /tmp only. */
import { Aws, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { DockerImageAsset, Platform } from 'aws-cdk-lib/aws-ecr-assets';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { type Environment, TMP_MIB } from '../environments.ts';
import { clusterName } from '../sandbox-tasks.ts';
import { SandboxNetwork } from './sandbox-network.ts';

/** What Docker gives a container by default, except what the supervisor needs to give an attempt a uid of its own. */
const DROPPED_CAPABILITIES = [
  'AUDIT_WRITE',
  'FSETID',
  'MKNOD',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SETFCAP',
  'SETPCAP',
  'SYS_CHROOT',
];

/**
 * Where the image has its supervisor keep inputs as they were fetched: on the task's disk, which takes no memory and of
 * which each task has 20 GB without a price. Only root can enter it.
 */
const STORE = { volume: 'store', path: '/store' };

/** Seconds from SIGTERM to SIGKILL; the supervisor ends within one. */
const STOP_TIMEOUT = 2;

export interface SandboxProps {
  environment: Environment;
  files: s3.IBucket;
  /** The folder with the Dockerfile. */
  image: string;
}

export class Sandbox extends Construct {
  readonly network: SandboxNetwork;
  readonly cluster: ecs.Cluster;
  /** The family of the task definition, which stands for its latest revision: a deployment makes the others inactive. */
  readonly taskFamily: string;
  /** A pattern of the ARNs of all its tasks. */
  readonly taskArns: string;
  private readonly executionRole: iam.Role;

  constructor(scope: Construct, { environment, files, image }: SandboxProps) {
    super(scope, 'Sandbox');
    this.taskFamily = `recursive-ai-executor-${environment.name}-sandbox`;
    this.network = new SandboxNetwork(this, environment, files);
    this.cluster = new ecs.Cluster(this, 'Cluster', {
      clusterName: clusterName(environment.name),
      vpc: this.network.vpc,
    });
    // By the property: what the construct library makes of it is a resource of its own that has to be removed first.
    (this.cluster.node.defaultChild as ecs.CfnCluster).capacityProviders = ['FARGATE', 'FARGATE_SPOT'];
    this.taskArns = Stack.of(this).formatArn({
      service: 'ecs',
      resource: 'task',
      resourceName: `${this.cluster.clusterName}/*`,
    });
    this.executionRole = new iam.Role(this, 'ExecutionRole', {
      description: 'With this Fargate fetches the image and writes the log; the container cannot reach it',
      assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'),
    });
    const taskDefinition = this.createTaskDefinition(environment, image);

    Validations.of(this.cluster).acknowledge({
      id: 'AwsSolutions-ECS4',
      reason:
        'Container Insights is billed by the task, and these live for minutes; the product measures its own times.',
    });
    Validations.of(taskDefinition).acknowledge({
      id: 'AwsSolutions-ECS2',
      reason:
        'Its one variable is an amount of memory; what a sandbox must keep to itself comes by its manifest.',
    });
    Validations.of(this.executionRole).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'ecr:GetAuthorizationToken has no resources that a policy could name.',
    });
  }

  /** What whoever starts sandboxes must be allowed. */
  runTaskStatements(): iam.PolicyStatement[] {
    return [
      new iam.PolicyStatement({
        actions: ['ecs:RunTask'],
        resources: [
          Stack.of(this).formatArn({
            service: 'ecs',
            resource: 'task-definition',
            resourceName: `${this.taskFamily}:*`,
          }),
        ],
        conditions: { ArnEquals: { 'ecs:cluster': this.cluster.clusterArn } },
      }),
      // A task has the tags of its definition, so that its cost is told as the environment's.
      new iam.PolicyStatement({
        actions: ['ecs:TagResource'],
        resources: [this.taskArns],
        conditions: { StringEquals: { 'ecs:CreateAction': 'RunTask' } },
      }),
      new iam.PolicyStatement({
        actions: ['iam:PassRole'],
        resources: [this.executionRole.roleArn],
        conditions: { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } },
      }),
    ];
  }

  /** By hand, because the construct library's task definitions always have a task role. */
  private createTaskDefinition({ name, sandbox, limits, logRetention }: Environment, folder: string) {
    const image = new DockerImageAsset(this, 'Image', {
      directory: folder,
      platform: sandbox.architecture === 'ARM64' ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64,
    });
    const logGroup = new logs.LogGroup(this, 'Logs', {
      logGroupName: `/recursive-ai-executor/${name}/sandbox`,
      retention: logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    image.repository.grantPull(this.executionRole);
    logGroup.grantWrite(this.executionRole);

    return new ecs.CfnTaskDefinition(this, 'TaskDefinition', {
      family: this.taskFamily,
      requiresCompatibilities: ['FARGATE'],
      networkMode: 'awsvpc',
      runtimePlatform: { cpuArchitecture: sandbox.architecture, operatingSystemFamily: 'LINUX' },
      cpu: String(sandbox.cpu),
      memory: String(sandbox.memoryMiB),
      executionRoleArn: this.executionRole.roleArn,
      volumes: [{ name: STORE.volume }],
      containerDefinitions: [
        {
          // The workflow names it to give it its manifest.
          name: 'sandbox',
          image: image.imageUri,
          essential: true,
          readonlyRootFilesystem: true,
          stopTimeout: STOP_TIMEOUT,
          mountPoints: [{ sourceVolume: STORE.volume, containerPath: STORE.path, readOnly: false }],
          environment: [
            {
              name: 'SANDBOX_MEMORY_MB',
              value: String(limits.sandboxMemoryMb),
            },
          ],
          linuxParameters: {
            initProcessEnabled: true,
            capabilities: { drop: DROPPED_CAPABILITIES },
            tmpfs: [{ containerPath: '/tmp', size: TMP_MIB, mountOptions: ['nosuid', 'nodev', 'noexec'] }],
          },
          logConfiguration: {
            logDriver: 'awslogs',
            options: {
              'awslogs-group': logGroup.logGroupName,
              'awslogs-region': Aws.REGION,
              'awslogs-stream-prefix': 'sandbox',
              // A log that does not keep up must not hold a sandbox up.
              mode: 'non-blocking',
              'max-buffer-size': '4m',
            },
          },
        },
      ],
    });
  }
}
