/** Going on from an execution that failed by a fault of the service. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Execution } from '../../functions/execution/execution.ts';
import { python } from '../support/model-server.ts';
import { type ProblemBody, type Product, startProduct } from '../support/product.ts';

let product: Product;

beforeAll(async () => {
  product = await startProduct();
});
afterAll(() => product.close());

const REFUSED = { status: 401 };
/** Its code and its output are too long to be kept in the record, and it leaves a file. */
const FAILS = python(
  [
    `# ${'long '.repeat(4_000)}`,
    'open("notes.txt", "w").write("kept")',
    'print("line of output " * 1_500)',
    'amount = 0',
    'print(1 / amount)',
  ].join('\n'),
);
const WORKS = python('print("works")');

const requestsAbout = (prompt: string) => product.model.requests.filter(({ text }) => text.includes(prompt));
const resume = <T = Execution>(body: object, headers: Record<string, string> = {}) =>
  product.call<T>('POST', '/api/execute', body, { prefer: 'respond-async', ...headers });

async function ended({ execution_id }: Execution): Promise<Execution> {
  const follower = product.follow(await product.get(execution_id));
  await follower.ended;
  follower.close();
  return product.get(execution_id);
}

async function resumed({ execution_id }: Execution): Promise<Execution> {
  const { status, body } = await resume({ resumes: execution_id });
  expect(status).toBe(202);
  return ended(body);
}

async function tokens(): Promise<number> {
  const { body } = await product.call<{ tokens: { prompt: number } }>('GET', '/api/metrics');
  return body.tokens.prompt;
}

test('goes on with the attempts that were done, as if nothing had happened', async () => {
  const prompt = 'Failed, then refused';
  product.model.replyTo(prompt, FAILS, REFUSED);
  const before = await tokens();
  const request = { prompt, max_retries: 3, timeout: 20, policy: 'standard', tests: 'assert True' };
  const failed = await product.run(request);
  expect(failed).toMatchObject({ status: 'failed', error_category: 'model_error', attempts: 2 });

  product.model.replyTo(prompt, FAILS, WORKS);
  const { execution_id } = failed;
  const { body: started } = await resume({ resumes: execution_id });
  const follower = product.follow(started);
  await follower.ended;
  follower.close();
  const execution = await product.get(started.execution_id);
  expect(execution).toMatchObject({ ...request, status: 'succeeded', attempts: 3, resumes: execution_id });
  expect(execution.execution_id).not.toBe(execution_id);
  expect(execution.results[0]).toEqual({ ...failed.results[0], taken_from: execution_id });
  expect(execution.results.slice(1).map(({ taken_from }) => taken_from)).toEqual([null, null]);

  // The second attempt is asked for in the same words.
  const [, asked, askedAgain] = requestsAbout(prompt);
  expect(asked?.text).toContain('ZeroDivisionError');
  expect(askedAgain?.body.messages).toEqual(asked?.body.messages);

  // Whoever follows from the beginning sees it whole.
  const { events } = follower;
  expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
  expect(events.slice(0, 4)).toMatchObject([
    { type: 'execution.started', execution: { attempts: 1, resumes: execution_id } },
    { type: 'attempt.started', attempt: 1, total_attempts: 3 },
    { type: 'code.completed', attempt: 1 },
    {
      type: 'attempt.finished',
      attempt: 1,
      result: { error_category: 'exception', taken_from: execution_id },
    },
  ]);
  for (const type of ['attempt.started', 'attempt.finished']) {
    const numbers = events.flatMap((event) =>
      event.type === type && 'attempt' in event ? event.attempt : [],
    );
    expect(numbers).toEqual([1, 2, 3]);
  }

  // Tokens are counted where they were used: 10 for each of the three replies.
  expect(execution.usage?.prompt_tokens).toBe(20);
  expect((await tokens()) - before).toBe(30);

  const file = `/api/executions/${execution.execution_id}/artifacts/notes.txt?attempt=1`;
  const { headers } = await product.call('GET', file);
  expect((await product.call('GET', headers.get('location') ?? '')).body).toBe('kept');
});

test('can be done again and again, and no more attempts are made than were asked for', async () => {
  const prompt = 'Refused again and again';
  product.model.replyTo(prompt, FAILS, REFUSED, FAILS, REFUSED, FAILS);
  const first = await product.run({ prompt, max_retries: 3, policy: 'standard' });
  const second = await resumed(first);
  expect(second).toMatchObject({ status: 'failed', error_category: 'model_error', attempts: 3 });
  const third = await resumed(second);
  expect(third).toMatchObject({ status: 'failed', error_category: 'exception', attempts: 3 });
  expect(third.results.map(({ taken_from }) => taken_from)).toEqual([
    first.execution_id,
    second.execution_id,
    null,
  ]);
  for (const number of [1, 2, 3]) {
    const file = `/api/executions/${third.execution_id}/artifacts/notes.txt?attempt=${number}`;
    expect((await product.call('GET', file)).status).toBe(302);
  }
});

test('what it has taken over can be taken along, also if it was cancelled before it made an attempt', async () => {
  const { cancelExecution, storeExecution } = await import('../../functions/execution/lifecycle.ts');
  const { readResumable, takeOver } = await import('../../functions/execution/resume.ts');
  const prompt = 'Refused, and then cancelled';
  product.model.replyTo(prompt, FAILS, REFUSED);
  const failed = await product.run({ prompt, max_retries: 3, policy: 'standard' });
  const { earlier, kept } = await readResumable('local', failed.execution_id);
  const fresh = {
    status: 'queued',
    attempts: 1,
    finished_at: null,
    error: null,
    error_category: null,
  } as const;
  const taken = kept.map((attempt) => takeOver(attempt, 'cancelled-at-once'));
  await storeExecution({ ...earlier, ...fresh, execution_id: 'cancelled-at-once' }, taken);
  await cancelExecution('cancelled-at-once');
  expect(await product.get('cancelled-at-once')).toMatchObject({ status: 'cancelled', attempts: 1 });
  const archive = await fetch(`${product.url}/api/executions/cancelled-at-once/archive`);
  expect(archive.status).toBe(200);
  expect(Buffer.from(await archive.arrayBuffer()).includes('notes.txt')).toBe(true);
});

test('begins anew where no attempt was done', async () => {
  const prompt = 'Refused at once';
  product.model.replyTo(prompt, REFUSED, WORKS);
  const failed = await product.run({ prompt });
  const execution = await resumed(failed);
  expect(execution).toMatchObject({ prompt, status: 'succeeded', attempts: 1, resumes: failed.execution_id });
  expect(execution.results).toMatchObject([{ taken_from: null }]);
});

test('the same Idempotency-Key gives the same execution', async () => {
  const prompt = 'Refused, and gone on with twice';
  product.model.replyTo(prompt, REFUSED, WORKS, WORKS);
  const { execution_id } = await product.run({ prompt });
  const headers = { 'idempotency-key': 'resume-1' };
  const answers = await Promise.all([1, 2].map(() => resume({ resumes: execution_id }, headers)));
  const again = await resume({ resumes: execution_id }, headers);
  const ids = [...answers, again].map(({ body }) => body.execution_id);
  expect(new Set(ids).size).toBe(1);
  expect((await resume({ resumes: 'another' }, headers)).status).toBe(422);
  await ended(again.body);
  expect(requestsAbout(prompt)).toHaveLength(2);
});

describe('is refused', () => {
  const refusal = async (body: object) => {
    const answer = await resume<ProblemBody>(body);
    return [answer.status, answer.body.detail];
  };

  test.each([
    [{ resumes: 5 }, 400, /resumes: must be a string/],
    [{ resumes: null }, 400, /resumes: must be a string/],
    [{ resumes: 'x', prompt: 'y' }, 400, /prompt: is taken from the execution that is resumed: leave it out/],
    [{ resumes: 'x', max_retries: 3 }, 400, /max_retries: is taken from/],
    [{ resumes: 'x', retries: 3 }, 400, /retries: is not a known field/],
    [{ resumes: 'nobody-knows-it' }, 404, /no execution "nobody-knows-it"/],
    [{ resumes: '' }, 404, /no execution/],
    [{ resumes: 'x/../y\0' }, 404, /no execution/],
    [{ resumes: 'x'.repeat(4_000) }, 404, /no execution/],
  ])('%#: what is not to be understood or not there', async (body, status, detail) => {
    expect(await refusal(body)).toEqual([status, expect.stringMatching(detail)]);
  });

  test('of another caller, which may not even be known to be there', async () => {
    const { createExecution, getExecution } = await import('../support/store.ts');
    product.model.replyTo('Mine', REFUSED);
    const { execution_id } = await product.run({ prompt: 'Mine' });
    const mine = await getExecution(execution_id);
    if (!mine) throw new Error('no execution');
    await createExecution({ ...mine, execution_id: 'anothers', owner: 'another' });
    expect(await refusal({ resumes: 'anothers' })).toEqual([404, expect.stringContaining('no execution')]);
  });

  test('of one that goes on, or ended otherwise', async () => {
    product.model.replyTo('Goes on', { text: '```python\n', ending: 'hang' });
    const { execution_id } = await product.start({ prompt: 'Goes on' });
    expect(await refusal({ resumes: execution_id })).toEqual([
      409,
      expect.stringMatching(/is (queued|running) still/),
    ]);
    await product.call('DELETE', `/api/executions/${execution_id}`);
    expect(await refusal({ resumes: execution_id })).toEqual([409, expect.stringContaining('was cancelled')]);

    product.model.replyTo('Fails by itself', FAILS);
    product.model.replyTo('Does well', WORKS);
    const failed = await product.run({ prompt: 'Fails by itself', max_retries: 1 });
    expect(await refusal({ resumes: failed.execution_id })).toEqual([
      409,
      expect.stringContaining('failed by its own programs'),
    ]);
    const good = await product.run({ prompt: 'Does well' });
    expect(await refusal({ resumes: good.execution_id })).toEqual([
      409,
      expect.stringContaining('has succeeded'),
    ]);
  });
});
