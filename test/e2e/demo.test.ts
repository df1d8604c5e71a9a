/** The three demo scenarios of the guide, without a key: the first thing a newcomer sees. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Execution } from '../../functions/execution/execution.ts';
import { startDemoModel } from '../../local/demo-model.ts';
import { type Product, startProduct } from '../support/product.ts';

let product: Product;
let demo: Awaited<ReturnType<typeof startDemoModel>>;

beforeAll(async () => {
  demo = await startDemoModel({ delay: 0 });
  product = await startProduct({
    env: { OPENAI_BASE_URL: demo.url, OPENAI_MODEL: 'demo', OPENAI_API_KEY: 'demo' },
  });
});
afterAll(async () => {
  await product.close();
  await demo.close();
});

describe('demo scenarios', () => {
  test('factorial takes two attempts: a SyntaxError, then the result', async () => {
    const execution = await product.run({ prompt: 'Create a function to calculate factorial' });
    expect(execution).toMatchObject({ status: 'succeeded', success: true, attempts: 2 });
    const [first, second] = execution.results;
    expect(first).toMatchObject({
      success: false,
      error_category: 'syntax_error',
      attempt: 1,
      total_attempts: 5,
    });
    expect(first?.code).toContain('if n = 1:');
    expect(first?.error).toMatch(/^SyntaxError: invalid syntax/);
    expect(second).toMatchObject({ success: true, attempt: 2, error: null });
    expect(second?.output).toContain('Factorial of 5: 120');
    expect(second?.execution_time).toBeGreaterThan(0);
    expect(execution.final_result).toEqual(second);
    expect(execution.total_time).toBeGreaterThan(0);
  });

  test('quicksort and statistics are repaired too', async () => {
    const prompts = [
      'Implement quicksort algorithm with example',
      'Create code to analyze a list of numbers and find statistics',
    ];
    for (const prompt of prompts) {
      const execution = await product.run({ prompt });
      expect(execution).toMatchObject({ status: 'succeeded', attempts: 2 });
      expect(execution.results[0]?.error).toBeTruthy();
      expect(execution.results[1]?.output?.trim()).not.toBe('');
    }
  });

  test('any other prompt says how to connect a real model', async () => {
    const execution = await product.run({ prompt: 'Write a poem generator' });
    expect(execution).toMatchObject({ status: 'failed', error_category: 'model_error' });
    expect(execution.error).toContain('OPENAI_API_KEY');
  });

  test('/health says that it is a demo', async () => {
    const { body } = await product.call<{ status: string; service: string; model: object }>('GET', '/health');
    expect(body).toMatchObject({
      status: 'healthy',
      service: 'Recursive AI Executor',
      model: { name: 'demo', demo: true },
      isolation: { seccomp: expect.stringMatching(/^on/) },
      sandbox: { python: expect.stringMatching(/^3\.\d+\.\d+/), packages: expect.any(Array) },
    });
  });

  test('POST /execute waits for the end by default, and answers as the guide says', async () => {
    const answer = await product.call<Execution>('POST', '/execute', {
      prompt: 'Create a function to calculate factorial',
      max_retries: 5,
      timeout: 30,
    });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      success: true,
      results: [
        { success: false, attempt: 1, total_attempts: 5 },
        { success: true, attempt: 2, total_attempts: 5 },
      ],
      final_result: { success: true, attempt: 2 },
    });
  });
});
