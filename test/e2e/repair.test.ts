/** The repair loop: what can go wrong with a program or a model server, and what comes of it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';

let product: Product;

beforeAll(async () => {
  product = await startProduct({ env: { OPENAI_TIMEOUT: '1' } });
});
afterAll(() => product.close());

const WORKS = python('print("works")');

/** The requests to the model that were about `prompt`. */
const requestsAbout = (prompt: string) => product.model.requests.filter(({ text }) => text.includes(prompt));

describe('repair after', () => {
  const cases: {
    after: string;
    reply: string;
    request?: object;
    category: string;
    error: RegExp;
    code?: string;
  }[] = [
    {
      after: 'an exception',
      reply: python('numbers = []\nprint(sum(numbers) / len(numbers))'),
      category: 'exception',
      error: /^ZeroDivisionError: division by zero/m,
      code: 'sum(numbers) / len(numbers)',
    },
    {
      after: 'a syntax error',
      reply: python('def broken(:\n    pass'),
      category: 'syntax_error',
      error: /^SyntaxError: /m,
      code: 'def broken(:',
    },
    {
      after: 'an infinite loop',
      reply: python('while True:\n    pass'),
      request: { timeout: 0.5 },
      category: 'timeout',
      error: /0\.5 s/,
      code: 'while True:',
    },
    {
      after: 'memory exhaustion',
      reply: python('data = []\nwhile True:\n    data.append(bytearray(10_000_000))'),
      category: 'memory',
      error: /memory/i,
      code: 'bytearray(10_000_000)',
    },
    {
      after: 'a policy violation',
      reply: python('import os\nprint(os.getcwd())'),
      category: 'policy_violation',
      error: /line 1.*\bos\b/,
      code: 'import os',
    },
    {
      after: 'failing tests',
      reply: python('def double(n):\n    return n + 2'),
      request: { tests: 'assert double(2) == 4\nassert double(5) == 10' },
      category: 'test_failure',
      error: /double\(5\) == 10/,
      code: 'return n + 2',
    },
    {
      after: 'a program that ends before it defines what is tested',
      reply: python('raise SystemExit(0)\ndef double(n):\n    return n * 2'),
      request: { tests: 'assert double(2) == 4' },
      category: 'test_failure',
      error: /NameError: name 'double' is not defined/,
    },
    {
      after: 'a reply without code',
      reply: 'I would rather talk about the weather.',
      category: 'no_code',
      error: /no Python code/i,
    },
  ];

  test.each(cases)('$after', async ({ after, reply, request, category, error, code }) => {
    const prompt = `Task with ${after}`;
    const repaired =
      request && 'tests' in request ? python('def double(n):\n    return n * 2\nprint("works")') : WORKS;
    product.model.replyTo(prompt, reply, repaired);
    const execution = await product.run({ prompt, ...request });
    expect(execution).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(execution.results[0]).toMatchObject({ success: false, error_category: category });
    expect(execution.results[0]?.error).toMatch(error);
    expect(execution.results[1]).toMatchObject({ success: true, output: 'works\n' });

    const [, repair] = requestsAbout(prompt);
    expect(repair?.text).toMatch(error);
    if (code) expect(repair?.text).toContain(code);
  });

  test('a reply that was cut off', async () => {
    const prompt = 'Task with a long program';
    product.model.replyTo(prompt, { text: '```python\nprint("half', finishReason: 'length' }, WORKS);
    const execution = await product.run({ prompt });
    expect(execution).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(execution.results[0]).toMatchObject({ error_category: 'no_code' });
    expect(requestsAbout(prompt)[1]?.text).toContain('cut off');
  });
});

test('the first request tells the Python and the packages of the sandbox, before there is one', async () => {
  product.model.replyTo('Task that asks for facts', WORKS);
  await product.run({ prompt: 'Task that asks for facts' });
  const [first] = requestsAbout('Task that asks for facts');
  const { python, packages } = product.runtime.sandbox;
  expect(first?.text).toContain(`with Python ${python.split('.').slice(0, 2).join('.')};`);
  const named =
    /these packages are installed: (.*)\. Nothing else/.exec(first?.text ?? '')?.[1]?.split(', ') ?? [];
  expect(Object.keys(packages)).toEqual(expect.arrayContaining(named));
  expect(named).toHaveLength(Math.min(40, Object.keys(packages).length));
});

describe('replies of other kinds', () => {
  test.each([
    ['without a fence', 'nums = [1, 2]\nfor n in nums: print(n)', '1\n2\n'],
    ['with a main guard', 'def main(): print("main")\n\nif __name__ == "__main__": main()', 'main\n'],
    ['with a draft', `[THINK]\n${python('for i in range(9):\n    print(i)')}\n[/THINK]\n${WORKS}`, 'works\n'],
    ['with a stop token', `${WORKS}<|im_end|>`, 'works\n'],
    ['of two programs', `${python('total = 1 + 1\nprint("draft", total)')}\nBetter:\n${WORKS}`, 'works\n'],
  ])('%s', async (kind, reply, output) => {
    const prompt = `Task with a reply ${kind}`;
    product.model.replyTo(prompt, reply);
    const execution = await product.run({ prompt, max_retries: 1 });
    expect(execution).toMatchObject({ status: 'succeeded' });
    expect(execution.results[0]).toMatchObject({ output });
  });

  test.each([
    ['is cut off', { text: 'x = 1\nprint(x)', finishReason: 'MAX_TOKENS' }, /cut off/],
    [
      'holds two files',
      '```utils.py\nx = 1\n```\n```main.py\nprint(1)\n```',
      /several files \(utils\.py, main\.py\)/,
    ],
    ['has prose in its midst', 'x = 1\n\nThen print it:\n\nprint(x)', /It is not clear.*one ```python block/],
    ['is of another kind', '```json\n{"a": 1}\n```', /holds a block marked json, none marked python/],
  ])('a reply that %s is told', async (kind, reply, error) => {
    const prompt = `Task with a reply that ${kind}`;
    product.model.replyTo(prompt, reply, WORKS);
    const execution = await product.run({ prompt });
    expect(execution).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(execution.results[0]).toMatchObject({
      error_category: 'no_code',
      error: expect.stringMatching(error),
    });
    expect(requestsAbout(prompt)[1]?.text).toMatch(error);
  });

  test('a command of a notebook is told', async () => {
    product.model.replyTo('Task of a notebook', python('!pip install numpy\nprint(1)'), WORKS);
    const execution = await product.run({ prompt: 'Task of a notebook' });
    expect(execution.results[0]).toMatchObject({
      error_category: 'syntax_error',
      error_line: 1,
      error: expect.stringContaining('nothing can be installed'),
    });
  });
});

describe('the number of attempts', () => {
  test('success at the last allowed attempt', async () => {
    product.model.replyTo('Third time lucky', python('1 / 0'), python('[][1]'), WORKS);
    const execution = await product.run({ prompt: 'Third time lucky', max_retries: 3 });
    expect(execution).toMatchObject({ status: 'succeeded', attempts: 3, success: true });
    const [, , third] = requestsAbout('Third time lucky');
    expect(third?.text).toContain('ZeroDivisionError');
    expect(third?.text).toContain('IndexError');
  });

  test('failure after it', async () => {
    product.model.replyTo('Never lucky', python('1 / 0'), python('[][1]'));
    const execution = await product.run({ prompt: 'Never lucky', max_retries: 2 });
    expect(execution).toMatchObject({
      status: 'failed',
      success: false,
      attempts: 2,
      error_category: 'exception',
      error: 'IndexError: list index out of range',
    });
    expect(execution.final_result).toMatchObject({ attempt: 2, success: false });
    expect(requestsAbout('Never lucky')).toHaveLength(2);
  });
});

test('an attempt that only policy strict refused says so', async () => {
  const run = async (prompt: string, code: string, policy: 'strict' | 'standard') => {
    product.model.replyTo(prompt, python(code));
    const { final_result } = await product.run({ prompt, policy, max_retries: 1 });
    return [final_result?.error_category, final_result?.standard_permits];
  };
  const folder = 'import os\nprint(os.getcwd())';
  expect(await run('Strict, where', folder, 'strict')).toEqual(['policy_violation', true]);
  expect(await run('Standard, where', folder, 'standard')).toEqual([null, false]);
  const shell = 'import os\nos.system("ls")';
  expect(await run('Strict, shell', shell, 'strict')).toEqual(['policy_violation', false]);
  expect(await run('Standard, shell', shell, 'standard')).toEqual(['policy_violation', false]);
  expect(await run('Strict, broken', 'print(', 'strict')).toEqual(['syntax_error', false]);
});

describe('the model server', () => {
  test.each([
    ['limits the rate', { status: 429, headers: { 'retry-after': '0' } }],
    ['has trouble', { status: 500, headers: { 'retry-after': '0' } }],
    ['drops the stream', { text: '```python\nprint("never', ending: 'drop' }],
  ] as const)('%s: it is asked again, and no attempt is used up', async (trouble, reply) => {
    const prompt = `Task whose server ${trouble}`;
    product.model.replyTo(prompt, reply, WORKS);
    const execution = await product.run({ prompt, max_retries: 1 });
    expect(execution).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(execution.results[0]?.code).toBe('print("works")');
    expect(requestsAbout(prompt)).toHaveLength(2);
  });

  test('is away: that is told live, and cancelling does not wait for it', async () => {
    product.model.replyTo('Long away', { status: 503, headers: { 'retry-after': '30' } });
    const execution = await product.start({ prompt: 'Long away' });
    const follower = product.follow(execution);
    const told = await follower.seen(({ type }) => type === 'model.waiting');
    expect(told).toMatchObject({ attempt: 1, seconds: 30, reason: 'the model server does not answer' });
    await product.call('DELETE', `/api/executions/${execution.execution_id}`);
    await follower.ended;
    follower.close();
    expect(await product.get(execution.execution_id)).toMatchObject({ status: 'cancelled', attempts: 1 });
  });

  test.each([
    ['refuses the key', { status: 401 }, /OPENAI_API_KEY/],
    ['does not know the model', { status: 404 }, /OPENAI_MODEL/],
    ['hangs', { text: '', ending: 'hang' }, /OPENAI_TIMEOUT/],
  ] as const)(
    '%s: the execution ends with a sentence that says what to do',
    async (trouble, reply, advice) => {
      const prompt = `Task whose server ${trouble}`;
      product.model.replyTo(prompt, reply);
      const execution = await product.run({ prompt });
      expect(execution).toMatchObject({ status: 'failed', attempts: 1, error_category: 'model_error' });
      expect(execution.error).toMatch(advice);
      expect(JSON.stringify(execution)).not.toContain('test-key');
      expect(requestsAbout(prompt)).toHaveLength(1);
    },
  );

  test('counts tokens, and the execution their sum', async () => {
    product.model.replyTo('Count my tokens', python('1 / 0'), WORKS);
    const execution = await product.run({ prompt: 'Count my tokens' });
    expect(execution.results[0]?.usage).toEqual({
      prompt_tokens: 10,
      completion_tokens: 5,
      total_tokens: 15,
    });
    expect(execution.usage).toEqual({ prompt_tokens: 20, completion_tokens: 10, total_tokens: 30 });
  });
});
