/** What a deployed environment says of itself: the outputs of its stack. */
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';

export interface StackOutputs {
  Url: string;
  ModelKeySecret: string;
  TableName: string;
}

/** @throws Error, in a sentence, if the environment is not deployed in this account and region. */
export async function stackOutputs(environment: string): Promise<StackOutputs> {
  const StackName = `recursive-ai-executor-${environment}`;
  const notDeployed = new Error(`${environment} is not deployed in this account and region.`);
  const { Stacks = [] } = await new CloudFormationClient()
    .send(new DescribeStacksCommand({ StackName }))
    .catch((error: Error) => {
      // So CloudFormation says that there is no such stack.
      throw error.name === 'ValidationError' ? notDeployed : error;
    });
  const outputs = Object.fromEntries(
    (Stacks[0]?.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]),
  ) as Partial<StackOutputs>;
  const { Url, ModelKeySecret, TableName } = outputs;
  if (!Url || !ModelKeySecret || !TableName) throw notDeployed;
  return { Url, ModelKeySecret, TableName };
}
