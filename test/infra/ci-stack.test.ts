/** The roles by which GitHub Actions deploys: whom they trust, and that they can do little. */
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { expect, test } from 'vitest';
import { CiStack } from '../../infra/ci-stack.ts';
import { environments } from '../../infra/environments.ts';

interface Statement {
  Action: string | string[];
  Resource: unknown;
  Condition?: object;
}

function synthesize(providerExists: boolean): Template {
  const app = new App({ analyticsReporting: false });
  const env = { account: '111122223333', region: 'eu-central-1' };
  return Template.fromStack(
    new CiStack(app, 'CiRoles', { repository: 'someone/executor', providerExists, env }),
  );
}

test('a role trusts jobs of its environment in the one repository, and nobody else', () => {
  const template = synthesize(false);
  const roles = Object.values(template.findResources('AWS::IAM::Role')).map(({ Properties }) => Properties);
  const trust = roles.map(({ RoleName, AssumeRolePolicyDocument }) => [
    RoleName,
    AssumeRolePolicyDocument.Statement.map(({ Action, Condition }: Statement) => ({ Action, Condition })),
  ]);
  expect(trust).toEqual(
    environments.map(({ name }) => [
      `recursive-ai-executor-ci-${name}`,
      [
        {
          Action: 'sts:AssumeRoleWithWebIdentity',
          Condition: {
            StringEquals: {
              'token.actions.githubusercontent.com:aud': 'sts.amazonaws.com',
              'token.actions.githubusercontent.com:sub': `repo:someone/executor:environment:${name}`,
            },
          },
        },
      ],
    ]),
  );
});

test('it may do what a deployment, its checks and its smoke test need, and nothing else', () => {
  const policies = Object.values(synthesize(false).findResources('AWS::IAM::Policy'));
  expect(policies).toHaveLength(environments.length);
  for (const { Properties } of policies) {
    const statements = Properties.PolicyDocument.Statement as Statement[];
    expect(statements.flatMap(({ Action }) => Action).sort()).toEqual([
      'cloudformation:DescribeStacks',
      'dynamodb:PutItem',
      'dynamodb:UpdateItem',
      's3:ListBucket',
      'servicequotas:GetAWSDefaultServiceQuota',
      'servicequotas:GetServiceQuota',
      'ssm:GetParameter',
      'sts:AssumeRole',
    ]);
    for (const { Action, Resource } of statements) {
      if (!JSON.stringify(Action).includes('servicequotas:')) expect(Resource).not.toBe('*');
      if (Action === 'sts:AssumeRole') expect(JSON.stringify(Resource)).not.toContain('*');
    }
  }
});

test('an account that knows GitHub keeps its provider', () => {
  synthesize(false).resourceCountIs('AWS::IAM::OIDCProvider', 1);
  synthesize(true).resourceCountIs('AWS::IAM::OIDCProvider', 0);
});
