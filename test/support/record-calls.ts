/**
 * Records the AWS calls that functions make, into the file that RECORD_AWS_CALLS names: `npm test` sets it, and then
 * holds what was recorded against the IAM policies of the template (test/infra/recorded-calls.check.ts).
 */
import { appendFileSync } from 'node:fs';
import { InvokeStore } from '@aws/lambda-invoke-store';
import type { Call } from '../infra/permissions.ts';

type Input = Record<string, unknown>;

/** What tells calls of one operation apart; see test/infra/permissions.ts. */
function resourceOf(service: string, input: Input): string {
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  switch (service) {
    case 'DynamoDB': {
      const key = (input.Key ?? input.Item) as { pk?: unknown } | undefined;
      const values = (input.ExpressionAttributeValues ?? {}) as Record<string, unknown>;
      const partition = key?.pk ?? values[':pk'] ?? values[':owner'] ?? values[':work'];
      const plain = (partition as { S?: string } | undefined)?.S ?? text(partition);
      return input.IndexName ? `index/${input.IndexName}/${plain}` : plain;
    }
    case 'S3':
      return text(input.Key);
    case 'SFN':
      return text(input.executionArn).split(':').at(-1) ?? '';
    case 'ECS':
      return (
        text(input.task ?? (input.tasks as string[] | undefined)?.[0])
          .split('/')
          .at(-1) ?? ''
      );
    case 'ApiGatewayManagementApi':
      return text(input.ConnectionId);
    default:
      return '';
  }
}

/** Has what `work` does counted as done by the function `name`, where a test calls a handler itself. */
export async function asFunction<T>(name: string, work: () => Promise<T>): Promise<T> {
  return (await InvokeStore.getInstanceAsync()).run({ function: name }, work);
}

export async function recordCalls(file: string): Promise<void> {
  const invocations = await InvokeStore.getInstanceAsync();
  const seen = new Set<string>();
  const record = (service: string, operation: string, input: Input) => {
    const caller = invocations.get<string>('function');
    if (!caller) return;
    // A transaction needs the rights of its parts.
    for (const part of (input.TransactItems ?? []) as Record<string, Input>[]) {
      for (const [name, partInput] of Object.entries(part)) record(service, `${name}Item`, partInput);
    }
    if (input.TransactItems) return;
    const call: Call = { function: caller, service, operation, resource: resourceOf(service, input) };
    const line = JSON.stringify(call);
    if (seen.has(line)) return;
    seen.add(line);
    appendFileSync(file, `${line}\n`);
  };
  const { connections, dynamodb, ecs, lambda, s3, stepFunctions } = await import(
    '../../functions/service/aws.ts'
  );
  const watch = (service: string, stack: typeof dynamodb.middlewareStack) =>
    stack.add(
      (next, { commandName = '' }) =>
        (args) => {
          record(service, commandName.replace(/Command$/, ''), args.input as Input);
          return next(args);
        },
      { step: 'initialize', name: 'recordCalls', override: true },
    );
  watch('DynamoDB', dynamodb.middlewareStack);
  watch('S3', s3.middlewareStack as unknown as typeof dynamodb.middlewareStack);
  watch('ECS', ecs.middlewareStack as unknown as typeof dynamodb.middlewareStack);
  watch('Lambda', lambda.middlewareStack as unknown as typeof dynamodb.middlewareStack);
  watch('SFN', stepFunctions.middlewareStack as unknown as typeof dynamodb.middlewareStack);
  watch('ApiGatewayManagementApi', connections.middlewareStack as unknown as typeof dynamodb.middlewareStack);
}
