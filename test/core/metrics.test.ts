/** The metrics of an execution, as CloudWatch finds them in the log. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';

interface Emf {
  _aws: {
    CloudWatchMetrics: {
      Namespace: string;
      Dimensions: string[][];
      Metrics: { Name: string; Unit: string }[];
    }[];
  };
  [field: string]: unknown;
}

let product: Product;
const lines: string[] = [];

beforeAll(async () => {
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => Boolean(lines.push(String(text))));
  product = await startProduct({ env: { POWERTOOLS_METRICS_DISABLED: 'false' } });
});
afterAll(async () => {
  await product.close();
  vi.restoreAllMocks();
});

/** Each metric as `name {dimension} unit value`. */
function written(): string[] {
  const records = lines.flatMap((line) => (line.startsWith('{"_aws"') ? [JSON.parse(line) as Emf] : []));
  return records.map((record) => {
    const [{ Namespace, Dimensions, Metrics } = { Namespace: '', Dimensions: [], Metrics: [] }] =
      record._aws.CloudWatchMetrics;
    expect([Namespace, record.service]).toEqual(['RecursiveAiExecutor', 'recursive-ai-executor-local']);
    expect(Metrics).toHaveLength(1);
    const [{ Name, Unit } = { Name: '', Unit: '' }] = Metrics;
    const by = (Dimensions[0] ?? []).filter((name) => name !== 'service');
    const dimensions = by.map((name) => `${name}=${record[name]}`).join();
    const value = Unit === 'Seconds' ? 's' : record[Name];
    if (Unit === 'Seconds') expect(record[Name]).toBeGreaterThanOrEqual(0);
    return [Name, dimensions, value].filter((part) => part !== '').join(' ');
  });
}

test('an execution that is repaired and then succeeds', async () => {
  product.model.replyTo('Measured', python('if n = 1: pass'), python('1 / 0'), python('print(1)'));
  expect(await product.run({ prompt: 'Measured' })).toMatchObject({ status: 'succeeded', attempts: 3 });
  expect(written().sort()).toEqual([
    'AttemptsBeforeSuccess 3',
    'AttemptsFailed category=exception 1',
    'AttemptsFailed category=syntax_error 1',
    ...Array(3).fill('CompletionTokens 5'),
    'ExecutionTime s',
    'ExecutionsEnded status=succeeded 1',
    ...Array(3).fill('GenerationTime s'),
    ...Array(3).fill('PromptTokens 10'),
    'RunTime s',
    'RunTime s',
    'SandboxStartTime s',
    'WarmHit 0',
  ]);
});
