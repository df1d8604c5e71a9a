/**
 * The roles by which GitHub Actions deploys: one for each environment, taken by jobs of that GitHub environment of one
 * repository alone, without any stored key. A role may assume those of `cdk bootstrap`, which deploy, and do what the
 * checks before and the smoke test after a deployment need.
 */
import { Aws, CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { environments } from './environments.ts';

const GITHUB = 'token.actions.githubusercontent.com';

/** The roles of `cdk bootstrap` that a deployment goes by. */
const BOOTSTRAP_ROLES = ['deploy', 'file-publishing', 'image-publishing', 'lookup'];

export interface CiStackProps extends StackProps {
  /** `owner/name` on GitHub. */
  repository: string;
  /** The account knows GitHub already: it can have one provider of its tokens only. */
  providerExists: boolean;
}

export class CiStack extends Stack {
  constructor(scope: Construct, id: string, props: CiStackProps) {
    super(scope, id, props);
    const providerArn = props.providerExists
      ? `arn:aws:iam::${Aws.ACCOUNT_ID}:oidc-provider/${GITHUB}`
      : new iam.CfnOIDCProvider(this, 'GitHub', {
          url: `https://${GITHUB}`,
          clientIdList: ['sts.amazonaws.com'],
        }).attrArn;
    for (const { name, firewall } of environments) {
      const role = new iam.Role(this, `Role-${name}`, {
        roleName: `recursive-ai-executor-ci-${name}`,
        description: `Deploys ${name} from ${props.repository}`,
        assumedBy: new iam.FederatedPrincipal(
          providerArn,
          {
            StringEquals: {
              [`${GITHUB}:aud`]: 'sts.amazonaws.com',
              [`${GITHUB}:sub`]: `repo:${props.repository}:environment:${name}`,
            },
          },
          'sts:AssumeRoleWithWebIdentity',
        ),
      });
      const regions = firewall ? [Aws.REGION, 'us-east-1'] : [Aws.REGION];
      const inRegions = (arn: (region: string) => string) => regions.map(arn);
      const allow = (actions: string[], resources: string[], conditions?: iam.Conditions) =>
        role.addToPolicy(new iam.PolicyStatement({ actions, resources, conditions }));
      allow(
        ['sts:AssumeRole'],
        BOOTSTRAP_ROLES.flatMap((kind) =>
          inRegions(
            (region) =>
              `arn:aws:iam::${Aws.ACCOUNT_ID}:role/cdk-hnb659fds-${kind}-role-${Aws.ACCOUNT_ID}-${region}`,
          ),
        ),
      );
      allow(
        ['ssm:GetParameter'],
        inRegions(
          (region) => `arn:aws:ssm:${region}:${Aws.ACCOUNT_ID}:parameter/cdk-bootstrap/hnb659fds/version`,
        ),
      );
      allow(
        ['s3:ListBucket'],
        inRegions((region) => `arn:aws:s3:::cdk-hnb659fds-assets-${Aws.ACCOUNT_ID}-${region}`),
      );
      // Quotas have no resources that a policy could name.
      allow(['servicequotas:GetServiceQuota', 'servicequotas:GetAWSDefaultServiceQuota'], ['*']);
      allow(
        ['cloudformation:DescribeStacks'],
        [`arn:aws:cloudformation:${Aws.REGION}:${Aws.ACCOUNT_ID}:stack/recursive-ai-executor-${name}/*`],
      );
      // The smoke test's key is made and revoked.
      allow(
        ['dynamodb:PutItem', 'dynamodb:UpdateItem'],
        [
          `arn:aws:dynamodb:${Aws.REGION}:${Aws.ACCOUNT_ID}:table/recursive-ai-executor-${name}-StorageTable*`,
        ],
        { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['KEY#*'] } },
      );
      new CfnOutput(this, `Role${name}`, { value: role.roleArn });
    }
  }
}
