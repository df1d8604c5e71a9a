/** Everything of one environment but the firewall. */
import { CfnOutput, DefaultStackSynthesizer, Fn, Stack, type StackProps, Validations } from 'aws-cdk-lib';
import * as secrets from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { acknowledgePatterns } from './constructs/acknowledge.ts';
import { Api } from './constructs/api.ts';
import { Functions } from './constructs/functions.ts';
import { Monitoring } from './constructs/monitoring.ts';
import { Sandbox } from './constructs/sandbox.ts';
import { Storage } from './constructs/storage.ts';
import { Web } from './constructs/web.ts';
import { stateMachineArn, Workflow } from './constructs/workflow.ts';
import { checkEnvironment, type Environment } from './environments.ts';

export interface ServiceStackProps extends StackProps {
  environment: Environment;
  /** The folders of the built page and of the sandbox's image. */
  site: string;
  image: string;
  /** The ARN of a web ACL. @default - no firewall */
  firewall?: string;
}

export class ServiceStack extends Stack {
  private readonly web: Web;
  private readonly zones: readonly string[] | undefined;

  constructor(scope: Construct, id: string, props: ServiceStackProps) {
    super(scope, id, props);
    const { environment, site, image, firewall } = props;
    checkEnvironment(environment);
    this.zones = environment.sandbox.zones;

    const modelKey = new secrets.Secret(this, 'ModelKey', {
      description: `Key of the model server, ${environment.name}; empty until it is put in, see docs/deploy.md`,
    });
    // The construct library would have a key thrown: an empty secret can be told from one that holds a key.
    (modelKey.node.defaultChild as secrets.CfnSecret).generateSecretString = undefined;
    const originSecret = new secrets.Secret(this, `OriginSecret${environment.originSecret ?? 1}`, {
      description: 'What CloudFront sends to the APIs to prove that a request came through it',
      generateSecretString: { passwordLength: 48, excludePunctuation: true },
    });
    for (const secret of [modelKey, originSecret]) {
      Validations.of(secret).acknowledge({
        id: 'AwsSolutions-SMG4',
        reason:
          'Its other half is elsewhere: the key is changed at the model provider, the origin secret by a deployment.',
      });
    }

    const storage = new Storage(this, environment);
    const sandbox = new Sandbox(this, { environment, files: storage.files, image });
    const api = new Api(this, environment);
    const functions = new Functions(this, {
      environment,
      storage,
      sandbox,
      modelKey,
      originSecret,
      stateMachineArn: stateMachineArn(this, environment),
      connections: api.connections,
    });
    api.addRoutes(functions);
    const workflow = new Workflow(this, { environment, functions, sandbox, storage });
    this.web = new Web(this, { environment, site, api, storage, originSecret, firewall });
    new Monitoring(this, { environment, api, functions, storage, workflow, url: this.web.url });

    new CfnOutput(this, 'Url', { value: this.web.url });
    new CfnOutput(this, 'ModelKeySecret', { value: modelKey.secretArn });
    new CfnOutput(this, 'TableName', { value: storage.table.tableName });
    if (environment.domain) {
      new CfnOutput(this, 'DomainTarget', {
        description: `What ${environment.domain.name} is to be a CNAME of`,
        value: this.web.distribution.distributionDomainName,
      });
    }
    this.acknowledgeLibraryFunctions();
  }

  /** The construct library's own functions, which copy the page and connect the bucket to its function. */
  private acknowledgeLibraryFunctions(): void {
    const reason =
      'A function of the construct library: it is used while deploying, and written and updated by AWS.';
    for (const { node } of this.node.children) {
      if (!/^(Custom::CDKBucketDeployment|BucketNotificationsHandler)/.test(node.id)) continue;
      const role = (node.tryFindChild('ServiceRole') ?? node.findChild('Role')) as Construct;
      Validations.of(role).acknowledge({
        id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]',
        reason,
      });
      acknowledgePatterns(role, {
        actions: ['s3:GetBucket*', 's3:GetObject*', 's3:List*', 's3:Abort*', 's3:DeleteObject*'],
        resources: [
          '*',
          `arn:aws:s3:::cdk-${DefaultStackSynthesizer.DEFAULT_QUALIFIER}-assets-${this.account}-${this.region}/*`,
          this.web.site.arnForObjects('*'),
        ],
        reason,
      });
      Validations.of(role.node.scope as Construct).acknowledge({ id: 'AwsSolutions-L1', reason });
    }
  }

  /** The first two, if none are named: asking an account for their names would make templates depend on it. */
  override get availabilityZones(): string[] {
    return this.zones ? [...this.zones] : [0, 1].map((index) => Fn.select(index, Fn.getAzs()));
  }
}
