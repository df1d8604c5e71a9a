/**
 * The CDK app as the emulator can deploy it: `dev` with the test's model server, less what the emulator lacks. All that is
 * left out or put in other words is so here, after synthesis; the product's stacks know nothing of it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { App } from 'aws-cdk-lib';
import { environments } from '../../infra/environments.ts';
import { ServiceStage } from '../../infra/stage.ts';

interface Resource {
  Type: string;
  Properties?: Record<string, unknown> & { Environment?: { Variables: Record<string, unknown> } };
  DependsOn?: string | string[];
}

interface Template {
  Resources: Record<string, Resource>;
  Outputs: Record<string, { Value: unknown }>;
}

/** What is left out. */
const LACKING: Record<string, (resource: Resource) => boolean> = {
  // The emulator has no such resource types.
  'AWS::Budgets::Budget': () => true,
  'AWS::EC2::FlowLog': () => true,
  // It has no AWS CLI in a layer, by which this copies the page.
  'Custom::CDKBucketDeployment': () => true,
  // Empties buckets by a tag that the emulator does not give them; it deletes them as they are.
  'Custom::S3AutoDeleteObjects': () => true,
  // It has alarms on one metric, and none on an expression.
  'AWS::CloudWatch::Alarm': ({ Properties }) => Properties?.Metrics !== undefined,
};

const { TEST_MODEL_URL, TEST_FRONT_URL, AWS_ENDPOINT_URL, CDK_DEFAULT_ACCOUNT, CDK_DEFAULT_REGION } =
  process.env;
const dev = environments.find(({ name }) => name === 'dev');
if (!dev || !TEST_MODEL_URL || !TEST_FRONT_URL || !AWS_ENDPOINT_URL)
  throw new Error('Only test:deploy runs this.');

const app = new App();
new ServiceStage(app, {
  environment: { ...dev, model: { name: 'test-model', baseUrl: TEST_MODEL_URL } },
  target: { account: CDK_DEFAULT_ACCOUNT, region: CDK_DEFAULT_REGION },
});
for (const { templateFullPath } of app.synth().stacksRecursively) {
  const template = JSON.parse(readFileSync(templateFullPath, 'utf8')) as Template;
  leaveOut(template);
  stayHere(template);
  writeFileSync(templateFullPath, JSON.stringify(template));
}

function leaveOut({ Resources }: Template): void {
  const left = Object.keys(Resources).filter((id) =>
    LACKING[Resources[id]?.Type ?? '']?.(Resources[id] as Resource),
  );
  for (const id of left) delete Resources[id];
  for (const resource of Object.values(Resources)) {
    if (resource.DependsOn)
      resource.DependsOn = [resource.DependsOn].flat().filter((id) => !left.includes(id));
  }
}

/** Names under which AWS is found become those of this machine: the site, and the management of WebSockets. */
function stayHere({ Resources, Outputs }: Template): void {
  Outputs.Url = { Value: TEST_FRONT_URL };
  const webSockets = Object.keys(Resources).find((id) => id.startsWith('ApiWebSockets'));
  for (const { Properties } of Object.values(Resources)) {
    const variables = Properties?.Environment?.Variables;
    if (!variables?.AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI) continue;
    variables.AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI = {
      'Fn::Join': ['', [`${AWS_ENDPOINT_URL}/_aws/execute-api/`, { Ref: webSockets }, '/ws']],
    };
  }
}
