/** The examples that the workflow's data is followed with are of the forms that its functions really answer in. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { facts } from '../../infra/workflow-facts.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';

const answers: [state: string, answer: unknown][] = [];
let product: Product;

const pascalCase = (name: string) =>
  name.replace(/(^|-)(\w)/g, (_, _separator: string, letter: string) => letter.toUpperCase());

/** What of an answer matters to the states after: which fields there are, and what choices are made by. */
function formOf(answer: unknown): string {
  const { next, allowed, ...fields } = answer as Record<string, unknown>;
  return JSON.stringify([next, allowed, Object.keys(fields).sort()]);
}

beforeAll(async () => {
  product = await startProduct({
    onAnswer: (name, answer) => answers.push([pascalCase(name), JSON.parse(JSON.stringify(answer ?? null))]),
  });
  const { stepFunctions } = await import('../../functions/service/aws.ts');
  stepFunctions.middlewareStack.add(
    (next, { commandName }) =>
      (args) => {
        const { output } = args.input as { output?: string };
        if (commandName === 'SendTaskSuccessCommand') answers.push(['RunCode', JSON.parse(output ?? '')]);
        return next(args);
      },
    { step: 'initialize', name: 'tokenAnswers' },
  );
});
afterAll(() => product.close());

test('every answer is of a form of which there is an example', async () => {
  const { loseSandbox } = await import('../../functions/sandbox/sandboxes.ts');
  const { getExecution } = await import('../support/store.ts');
  const run = (prompt: string, ...replies: Parameters<typeof product.model.replyTo>[1][]) => {
    product.model.replyTo(prompt, ...replies);
    return product.run({ prompt, max_retries: replies.length });
  };
  await run('Repaired', python('print(1 / 0)'), 'No code.', python('print(1)'));
  await run('Refused', python('import os'), python('import os'));
  await run('No code at all', 'None.');

  product.model.replyTo('Lost', python('while True: pass'));
  const lost = await product.start({ prompt: 'Lost', max_retries: 1 });
  const follower = product.follow(lost);
  for (let times = 1; times <= 2; times += 1) {
    await follower.seen(() => follower.events.filter(({ type }) => type === 'run.started').length === times);
    await loseSandbox((await getExecution(lost.execution_id))?.sandbox_id ?? '', 'for a test');
  }
  await follower.ended;
  follower.close();

  product.model.replyTo('Cancelled', { text: '```python\n', ending: 'hang' });
  const cancelled = await product.start({ prompt: 'Cancelled' });
  await product.call('DELETE', `/api/executions/${cancelled.execution_id}`);

  const known = Object.entries(facts.results).flatMap(([state, examples]) =>
    examples.map((example) => `${state} ${formOf(example)}`),
  );
  // RunCode's own answer goes nowhere: what counts is what its token is answered with.
  const given = answers.filter(
    ([state, answer]) => state in facts.results && !(state === 'RunCode' && answer === null),
  );
  const forms = new Set(given.map(([state, answer]) => `${state} ${formOf(answer)}`));
  expect([...forms].filter((form) => !known.includes(form))).toEqual([]);
  const states = new Set(given.map(([state]) => state));
  // StartSandbox calls no function.
  expect(Object.keys(facts.results).filter((state) => !states.has(state))).toEqual(['StartSandbox']);
});
