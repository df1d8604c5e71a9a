/** The CDK app of `npm run ci-role`, which says by context for which repository. */
import { App } from 'aws-cdk-lib';
import { CiStack } from './ci-stack.ts';

const app = new App();
new CiStack(app, 'CiRoles', {
  stackName: 'recursive-ai-executor-ci',
  repository: app.node.getContext('repository'),
  providerExists: app.node.tryGetContext('provider-exists') !== undefined,
  env: { account: process.env.CDK_DEFAULT_ACCOUNT, region: process.env.CDK_DEFAULT_REGION },
});
