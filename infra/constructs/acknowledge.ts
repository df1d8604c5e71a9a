/** Findings of cdk-nag that we live with, each for a reason. */
import { Stack, Validations } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

/** `AwsSolutions-IAM5`: a policy of `role` names resources or actions by a pattern. */
export function acknowledgePatterns(
  role: Construct,
  { resources = [], actions = [], reason }: { resources?: string[]; actions?: string[]; reason: string },
): void {
  const found = [
    ...resources.map((resource) => `Resource::${asFinding(Stack.of(role).resolve(resource))}`),
    ...actions.map((action) => `Action::${action}`),
  ];
  for (const finding of found)
    Validations.of(role).acknowledge({ id: `AwsSolutions-IAM5[${finding}]`, reason });
}

/** An ARN as cdk-nag writes it: `<LogicalId.Arn>/*`. */
function asFinding(value: unknown): string {
  if (typeof value === 'string') return value;
  const [[kind, of]] = Object.entries(value as object) as [[string, unknown]];
  if (kind === 'Ref') return `<${of}>`;
  if (kind === 'Fn::GetAtt') return `<${(of as string[]).join('.')}>`;
  if (kind === 'Fn::Join') {
    const [separator, parts] = of as [string, unknown[]];
    return parts.map(asFinding).join(separator);
  }
  throw new Error(`No finding is written with ${kind}.`);
}
