/**
 * The network of the sandboxes. Nothing comes in; HTTPS goes out, to where there is a route:
 *
 *   public     the internet. S3 is reached through the gateway endpoint, and of it our bucket and image layers only.
 *   isolated   nothing but endpoints: S3 as above, the image registry, the log. Names other than theirs do not even
 *              resolve, so that nothing can be told to the outside by asking the DNS for it.
 */
import { Aws, RemovalPolicy } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as resolver from 'aws-cdk-lib/aws-route53resolver';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import type { Environment } from '../environments.ts';

/** Where the registry keeps the layers of images. */
const LAYERS = `prod-${Aws.REGION}-starport-layer-bucket`;

export class SandboxNetwork extends Construct {
  readonly vpc: ec2.Vpc;
  readonly securityGroup: ec2.SecurityGroup;
  readonly subnets: ec2.ISubnet[];
  readonly assignPublicIp: 'ENABLED' | 'DISABLED';

  constructor(scope: Construct, environment: Environment, files: s3.IBucket) {
    super(scope, 'Network');
    const isolated = environment.sandbox.network === 'isolated';
    this.vpc = new ec2.Vpc(this, 'Vpc', {
      maxAzs: environment.sandbox.availabilityZones,
      natGateways: 0,
      subnetConfiguration: [
        isolated
          ? { name: 'Isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 20 }
          : { name: 'Public', subnetType: ec2.SubnetType.PUBLIC, cidrMask: 20, mapPublicIpOnLaunch: false },
      ],
    });
    this.subnets = isolated ? this.vpc.isolatedSubnets : this.vpc.publicSubnets;
    this.assignPublicIp = isolated ? 'DISABLED' : 'ENABLED';
    this.securityGroup = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc: this.vpc,
      description: 'Sandboxes: nothing in, HTTPS out',
      allowAllOutbound: false,
    });
    this.securityGroup.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'HTTPS');

    this.logRefused(environment);
    this.addFilesEndpoint(files);
    if (isolated) {
      this.addServiceEndpoints();
      this.closeDns(files);
    }
  }

  private logRefused({ name, logRetention }: Environment): void {
    this.vpc.addFlowLog('Refused', {
      trafficType: ec2.FlowLogTrafficType.REJECT,
      destination: ec2.FlowLogDestination.toCloudWatchLogs(
        new logs.LogGroup(this, 'RefusedLogs', {
          logGroupName: `/recursive-ai-executor/${name}/sandbox-refused-connections`,
          retention: logRetention,
          removalPolicy: RemovalPolicy.DESTROY,
        }),
      ),
    });
  }

  private addFilesEndpoint(files: s3.IBucket): void {
    const endpoint = this.vpc.addGatewayEndpoint('S3', { service: ec2.GatewayVpcEndpointAwsService.S3 });
    const permit = (action: string, ...resources: string[]) =>
      endpoint.addToPolicy(
        new iam.PolicyStatement({ principals: [new iam.AnyPrincipal()], actions: [action], resources }),
      );
    permit('s3:GetObject', files.arnForObjects('manifests/*'), files.arnForObjects('jobs/*'));
    // Inputs: files that were uploaded, and what an earlier execution left.
    permit('s3:GetObject', files.arnForObjects('files/*'), files.arnForObjects('mailbox/*/artifacts/*'));
    permit('s3:PutObject', files.arnForObjects('mailbox/*'));
    permit('s3:GetObject', `arn:aws:s3:::${LAYERS}/*`);
  }

  private addServiceEndpoints(): void {
    const securityGroup = new ec2.SecurityGroup(this, 'EndpointSecurityGroup', {
      vpc: this.vpc,
      description: 'Endpoints: HTTPS from sandboxes',
      allowAllOutbound: false,
    });
    securityGroup.addIngressRule(this.securityGroup, ec2.Port.tcp(443), 'HTTPS from sandboxes');
    const services = {
      Registry: ec2.InterfaceVpcEndpointAwsService.ECR,
      Images: ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
      Logs: ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    };
    for (const [id, service] of Object.entries(services)) {
      const endpoint = this.vpc.addInterfaceEndpoint(id, {
        service,
        securityGroups: [securityGroup],
        open: false,
      });
      // Not with the credentials of another account, which would carry data out by way of its log or registry.
      endpoint.addToPolicy(
        new iam.PolicyStatement({
          principals: [new iam.AnyPrincipal()],
          actions: ['*'],
          resources: ['*'],
          conditions: { StringEquals: { 'aws:PrincipalAccount': Aws.ACCOUNT_ID } },
        }),
      );
    }
  }

  private closeDns(files: s3.IBucket): void {
    const allowed = new resolver.CfnFirewallDomainList(this, 'AllowedNames', {
      domains: [
        `api.ecr.${Aws.REGION}.amazonaws.com`,
        `${Aws.ACCOUNT_ID}.dkr.ecr.${Aws.REGION}.amazonaws.com`,
        `logs.${Aws.REGION}.amazonaws.com`,
        `${LAYERS}.s3.${Aws.REGION}.amazonaws.com`,
        files.bucketRegionalDomainName,
      ],
    });
    const all = new resolver.CfnFirewallDomainList(this, 'AllNames', { domains: ['*'] });
    const rules = new resolver.CfnFirewallRuleGroup(this, 'Names', {
      firewallRules: [
        {
          priority: 1,
          action: 'ALLOW',
          firewallDomainListId: allowed.attrId,
          // What AWS itself has these names point to is trusted.
          firewallDomainRedirectionAction: 'TRUST_REDIRECTION_DOMAIN',
        },
        { priority: 2, action: 'BLOCK', blockResponse: 'NXDOMAIN', firewallDomainListId: all.attrId },
      ],
    });
    new resolver.CfnFirewallRuleGroupAssociation(this, 'NamesOfVpc', {
      firewallRuleGroupId: rules.attrId,
      vpcId: this.vpc.vpcId,
      priority: 101,
    });
  }
}
