/** What the intrinsic functions of a template come to, with made-up names: enough to compare ARNs. */
import type { Template } from './synthesize.ts';

export const ACCOUNT = '111122223333';
export const REGION = 'eu-central-1';

const PSEUDO: Record<string, string> = {
  'AWS::AccountId': ACCOUNT,
  'AWS::Region': REGION,
  'AWS::Partition': 'aws',
  'AWS::URLSuffix': 'amazonaws.com',
  'AWS::StackName': 'stack',
};

/** ARNs as AWS forms them, with the logical id for a name. */
const ARN: Record<string, (id: string) => string> = {
  'AWS::DynamoDB::Table': (id) => `arn:aws:dynamodb:${REGION}:${ACCOUNT}:table/${id}`,
  'AWS::S3::Bucket': (id) => `arn:aws:s3:::${id}`,
  'AWS::Logs::LogGroup': (id) => `arn:aws:logs:${REGION}:${ACCOUNT}:log-group:${id}:*`,
};

/** Resources whose Ref is their ARN. */
const REF_IS_ARN = ['AWS::SecretsManager::Secret', 'AWS::SNS::Topic'];

export function arnOf(id: string, type = ''): string {
  const [, service = 'none', kind = 'none'] = type.split('::');
  return (
    ARN[type]?.(id) ?? `arn:aws:${service.toLowerCase()}:${REGION}:${ACCOUNT}:${kind.toLowerCase()}/${id}`
  );
}

/** `value` with all references replaced. */
export function resolve(value: unknown, template: Template): unknown {
  if (Array.isArray(value)) return value.map((item) => resolve(item, template));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value);
  const [[kind, of] = ['', undefined]] = entries;
  if (entries.length === 1) {
    if (kind === 'Ref') return resolveRef(of as string, template);
    if (kind === 'Fn::GetAtt') {
      const [id, attribute] = of as [string, string];
      return attribute === 'Arn' ? arnOf(id, template.Resources[id]?.Type) : `${id}.${attribute}`;
    }
    if (kind === 'Fn::Join') {
      const [separator, parts] = of as [string, unknown[]];
      return parts.map((part) => resolve(part, template)).join(separator);
    }
    if (kind === 'Fn::Select') {
      const [index, list] = of as [number, unknown];
      const items = resolve(list, template);
      return Array.isArray(items) ? items[Number(index)] : `${items}[${index}]`;
    }
    if (kind === 'Fn::GetAZs') return [`${REGION}a`, `${REGION}b`];
  }
  return Object.fromEntries(entries.map(([key, item]) => [key, resolve(item, template)]));
}

function resolveRef(name: string, template: Template): string {
  const type = template.Resources[name]?.Type;
  if (type && REF_IS_ARN.includes(type)) return arnOf(name, type);
  return PSEUDO[name] ?? name;
}
