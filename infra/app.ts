/** `cdk synth`, `cdk deploy 'dev/*'` …: a stage for each environment, in the account and region of the AWS CLI. */
import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { environments } from './environments.ts';
import { ServiceStage } from './stage.ts';

const app = new App();
const target = { account: process.env.CDK_DEFAULT_ACCOUNT, region: process.env.CDK_DEFAULT_REGION };
for (const environment of environments) new ServiceStage(app, { environment, target });
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
