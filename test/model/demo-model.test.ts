import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateCode } from '../../functions/model/client.ts';
import { ModelError } from '../../functions/model/errors.ts';
import { extractCode } from '../../functions/model/extract-code.ts';
import { type FailedAttempt, generationMessages, repairMessages } from '../../functions/model/prompts.ts';
import { type DemoModel, startDemoModel } from '../../local/demo-model.ts';
import { demoScenarios } from '../../local/demo-scenarios.ts';

let demo: DemoModel;
beforeAll(async () => {
  demo = await startDemoModel({ delay: 0 });
});
afterAll(() => demo.close());

const taskFor = (prompt: string) => ({ prompt, policy: 'strict' as const, tests: null, timeout: 30 });

async function ask(messages: ReturnType<typeof generationMessages>): Promise<string> {
  const { text, finishReason, usage } = await generateCode({
    messages,
    config: { baseURL: demo.url, model: 'demo' },
  });
  expect(usage?.total_tokens).toBeGreaterThan(100);
  const extracted = extractCode(text, finishReason);
  return 'error' in extracted ? expect.unreachable(extracted.error) : extracted.code;
}

async function python(...args: string[]): Promise<{ exitCode: number; output: string; errors: string }> {
  const child = spawn('python3', args, { cwd: new URL('../../sandbox-image', import.meta.url) });
  const exit = new Promise<number>((resolve) => child.once('close', resolve));
  const [output, errors, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exit]);
  return { exitCode, output, errors };
}

describe.each([
  {
    prompt: 'Create a function to calculate factorial',
    error: "SyntaxError: invalid syntax. Maybe you meant '==' or ':=' instead of '='?",
    output: /^Factorial of 5: 120\n$/,
  },
  {
    prompt: 'Implement quicksort algorithm with example',
    error: 'AssertionError: expected [3, 10, 18, 29, 33, 33, 55, 71], but got [3, 10, 18, 29, 33, 55, 71]',
    output: /Sorted: {3}\[3, 10, 18, 29, 33, 33, 55, 71\]/,
  },
  {
    prompt: 'Create code to analyze a list of numbers and find statistics',
    error: /^statistics.StatisticsError: /,
    output: /Temperatures\n(.*\n)*.*mean {16} +21\.58\n/,
  },
])('$prompt', ({ prompt, error, output }) => {
  it('fails by itself, and is repaired', async () => {
    const code = await ask(generationMessages(taskFor(prompt)));
    const failed = await python('-c', code);
    expect(failed.exitCode).toBe(1);
    const lastLine = failed.errors.trimEnd().split('\n').at(-1) ?? '';
    expect(lastLine).toMatch(error);

    const attempt: FailedAttempt = {
      attempt: 1,
      code,
      output: failed.output,
      error: lastLine,
      error_category: 'exception',
      error_line: 1,
      traceback: failed.errors,
      violations: [],
    };
    const repaired = await ask(repairMessages(taskFor(prompt), [attempt]));
    const ran = await python('-c', repaired);
    expect(ran).toMatchObject({ exitCode: 0, errors: '' });
    expect(ran.output).toMatch(output);
  });

  it('keeps the strict policy', async () => {
    const { programs } = demoScenarios.find((scenario) => scenario.prompt === prompt) ?? { programs: [] };
    for (const program of programs) {
      const check = 'import sys; from policy import check; print(check(sys.argv[1], "strict"))';
      const { output, errors } = await python('-c', check, program);
      if (!errors.includes("Maybe you meant '=='"))
        expect({ output, errors }).toEqual({ output: '[]\n', errors: '' });
    }
  });
});

it.each(['create a function to calculate FACTORIAL.', '  Create a function\tto calculate factorial !\n'])(
  'does not mind how a prompt is written: %j',
  async (prompt) => {
    expect(await ask(generationMessages(taskFor(prompt)))).toContain('if n = 1:');
  },
);

it.each([
  'Create a function to calculate factorial in Roman numerals',
  'Create a function to calculate factorial\nin Roman numerals',
  'Hello',
])('says of other prompts how to connect a real model: %j', async (prompt) => {
  const error = await ask(generationMessages(taskFor(prompt))).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(ModelError);
  expect((error as ModelError).kind).toBe('bad_request');
  expect((error as ModelError).message).toMatch(
    /This is the demo model.*"Implement quicksort.*set OPENAI_API_KEY, or OPENAI_BASE_URL for Ollama, .* in \.env and restart\.\)/,
  );
});

it('speaks the rest of the protocol', async () => {
  const models = await (await fetch(`${demo.url}/models`)).json();
  expect(models).toMatchObject({ object: 'list', data: [{ id: 'demo' }] });

  const post = (body: string) => fetch(`${demo.url}/chat/completions`, { method: 'POST', body });
  const prompt = demoScenarios[0]?.prompt;
  const whole = await (await post(JSON.stringify({ messages: [{ role: 'user', content: prompt }] }))).json();
  const content = expect.stringMatching(/^```python\n(.*\n)+```$/);
  expect(whole).toMatchObject({ choices: [{ message: { content } }] });

  expect((await post('not JSON')).status).toBe(400);
  expect((await fetch(`${demo.url}/embeddings`)).status).toBe(404);
});

it('writes visibly, and stops when nobody reads', async () => {
  const slow = await startDemoModel({ delay: 5 });
  const cancel = new AbortController();
  const pieces: string[] = [];
  const asked = generateCode({
    messages: generationMessages(taskFor('Implement quicksort algorithm with example')),
    config: { baseURL: slow.url, model: 'demo' },
    signal: cancel.signal,
    onText: (piece) => {
      if (pieces.push(piece) === 5) cancel.abort();
    },
  });
  await expect(asked).rejects.toThrow('aborted');
  expect(pieces.join('')).toBe('```python\ndef quicksort(numbers: list[int]) ->');
  await slow.close();
});
