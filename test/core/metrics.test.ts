/** The metrics of an execution, as CloudWatch finds them in the log. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type * as z from 'zod';
import type { metricsSchema } from '../../functions/api/get-metrics.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';

type Metrics = z.infer<typeof metricsSchema>;

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
  product = await startProduct({ env: { POWERTOOLS_METRICS_DISABLED: 'false', SANDBOX_CPU: '1024' } });
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
    const measured = Unit === 'Seconds' || Unit === 'None';
    const value = Unit === 'Seconds' ? 's' : Unit === 'None' ? undefined : record[Name];
    if (measured) expect(record[Name]).toBeGreaterThanOrEqual(0);
    return [Name, dimensions, value].filter((part) => part !== '' && part !== undefined).join(' ');
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
    'ExecutionCost',
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

test('what an execution cost is counted, and told by /metrics', async () => {
  const before = (await product.call<Metrics>('GET', '/metrics')).body.cost;
  product.model.replyTo('Costs', python('print(1)'));
  const { finished_at, created_at } = await product.run({ prompt: 'Costs' });
  const { cost } = (await product.call<Metrics>('GET', '/metrics')).body;
  expect(cost?.executions).toBe((before?.executions ?? 0) + 1);
  // A task is billed for a minute at least.
  expect(Date.parse(finished_at ?? '') - Date.parse(created_at)).toBeLessThan(50_000);
  const { amountsOf, cost: priceOf } = await import('../../functions/execution/prices.ts');
  const least = priceOf(amountsOf({ attempts: 1, generationSeconds: 0, sandboxSeconds: 1 }));
  const cents = 100 * ((cost?.estimated_usd ?? 0) - (before?.estimated_usd ?? 0));
  expect(cents).toBeGreaterThanOrEqual(100 * (least.tasks + least.rest));
  expect(cents).toBeLessThan(150 * (least.tasks + least.rest));
  const text = (await product.call<string>('GET', '/metrics', undefined, { accept: 'text/plain' })).body;
  expect(text).toContain(`\nexecutor_estimated_cost_usd_total ${cost?.estimated_usd}\n`);
  expect(text).toContain(`\nexecutor_costed_executions_total ${cost?.executions}\n`);
});
