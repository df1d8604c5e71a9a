/** The API as a client sees it: answers, bad input, history, idempotency, events, artifacts, metrics. */
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Execution, History } from '../../functions/execution/execution.ts';
import { python } from '../support/model-server.ts';
import { type ProblemBody, type Product, startProduct } from '../support/product.ts';

let product: Product;

beforeAll(async () => {
  product = await startProduct();
});
afterAll(() => product.close());

/** As parts of a path: longer than a key of DynamoDB may be, in one way or another, or no id. */
const TOO_LONG = ['x'.repeat(2_100), '%C3%A4'.repeat(1_050), `${'x'.repeat(65)}`, '%00'];

const cursor = (last: unknown) => Buffer.from(JSON.stringify([last, 'local'])).toString('base64url');

const history = async () => (await product.call<History>('GET', '/api/executions')).body.executions;

describe('bad input is a problem document, and nothing is stored', () => {
  const utf8 = (text: string) => new TextEncoder().encode(text);
  const cases: [what: string, body: unknown, detail: RegExp][] = [
    ['an empty prompt', { prompt: ' \n' }, /prompt: must not be empty/],
    ['no prompt', {}, /prompt: must be a string/],
    ['a prompt of 100 KB', { prompt: 'x'.repeat(100_000) }, /prompt: must have at most 20000 characters/],
    ['a prompt of the wrong type', { prompt: 5 }, /prompt: must be a string/],
    ['an unknown field', { prompt: 'x', retries: 3 }, /retries: is not a known field/],
    ['max_retries 0', { prompt: 'x', max_retries: 0 }, /max_retries: must be at least 1/],
    ['max_retries 1000', { prompt: 'x', max_retries: 1000 }, /max_retries: must be at most 10/],
    ['max_retries 1.5', { prompt: 'x', max_retries: 1.5 }, /max_retries: must be a whole number/],
    ['a negative timeout', { prompt: 'x', timeout: -1 }, /timeout: must be more than 0 seconds/],
    ['an endless timeout', { prompt: 'x', timeout: 1e9 }, /timeout: must be at most 300 seconds/],
    ['a timeout of the wrong type', { prompt: 'x', timeout: '30' }, /timeout: must be a number of seconds/],
    ['an unknown policy', { prompt: 'x', policy: 'none' }, /policy: .*"strict"/],
    [
      'tests that are no Python',
      { prompt: 'x', tests: 'assert add(1, 1 == 2' },
      /tests .*line 1: SyntaxError: /,
    ],
    ['tests in a fence', { prompt: 'x', tests: '\n```python\nassert f()\n```' }, /line 2: .*Markdown fence/],
    [
      'tests in which nothing runs',
      { prompt: 'x', tests: 'def check():\n    assert f()' },
      /line 1: .*test_check/,
    ],
    ['tests that are empty', { prompt: 'x', tests: '# none' }, /the tests are empty/],
    ['a list', [], /body: /],
    ['null', 'null', /body: /],
    ['broken JSON', '{"prompt": ', /not valid JSON/],
    ['an empty body', '', /not valid JSON/],
    [
      'invalid UTF-8',
      Buffer.concat([utf8('{"prompt": "'), Buffer.from([0xff, 0xfe]), utf8('"}')]),
      /not valid UTF-8/,
    ],
  ];

  test.each(cases)('%s', async (_, body, detail) => {
    const before = await history();
    const answer = await product.call<ProblemBody>('POST', '/api/execute', body);
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.body).toMatchObject({
      type: expect.stringMatching(/^urn:recursive-ai-executor:problem:(invalid-request|malformed-body)$/),
      status: 400,
      request_id: expect.any(String),
    });
    expect(answer.body.detail).toMatch(detail);
    expect(JSON.stringify(answer.body)).not.toMatch(/\.ts:|node_modules/);
    expect(await history()).toEqual(before);
    expect(product.model.requests).toEqual([]);
  });

  test('each wrong field is named', async () => {
    const { body } = await product.call<ProblemBody>('POST', '/api/execute', {
      prompt: '',
      timeout: 0,
      x: 1,
    });
    expect(body.errors?.map(({ pointer }) => pointer).sort()).toEqual(['/prompt', '/timeout', '/x']);
  });

  test.each([
    ['GET', '/api/executions/nobody-knows', 404],
    ['DELETE', '/api/executions/nobody-knows', 404],
    ['GET', '/api/executions/nobody-knows/events', 404],
    ['GET', '/api/executions/nobody-knows/artifacts/a.png', 404],
    ['GET', '/api/executions?limit=0', 400],
    ['GET', '/api/executions?limit=abc', 400],
    ['GET', '/api/executions?page=2', 400],
    ['GET', '/api/executions?cursor=bm9uc2Vuc2U', 400],
    [
      'GET',
      `/api/executions?cursor=${Buffer.from('["2026-01-01T00:00:00.000Z#x","someone else"]').toString('base64url')}`,
      400,
    ],
    ...TOO_LONG.flatMap((id): [string, string, number][] => [
      ['GET', `/api/executions/${id}`, 404],
      ['DELETE', `/api/executions/${id}`, 404],
      ['GET', `/api/executions/${id}/events`, 404],
      ['GET', `/api/executions/${id}/artifacts/a.png`, 404],
      ['GET', `/api/executions/nobody-knows/artifacts/${id}`, 404],
    ]),
    ['GET', `/api/executions?cursor=${cursor(`2026-01-01T00:00:00.000Z#${'x'.repeat(2_100)}`)}`, 400],
    ['GET', `/api/executions?cursor=${cursor(`2026-01-01T${'0'.repeat(2_100)}Z#x`)}`, 400],
    ['GET', `/api/executions?cursor=${cursor(['2026-01-01T00:00:00.000Z#x'])}`, 400],
    ['GET', `/api/executions?cursor=${'['.repeat(6_000)}`, 400],
    ['GET', `/api/executions/x/events?after=${'9'.repeat(400)}`, 400],
    ['GET', `/api/executions/nobody-knows/artifacts/a.png?attempt=${'9'.repeat(400)}`, 400],
    ['GET', '/api/executions/%ED%A0%80', 400],
    ['GET', '/api/executions/%25/events', 400],
    ['GET', '/api/nothing-here', 404],
    ['PUT', '/api/execute', 405],
  ])('%s %s answers %i', async (method, path, status) => {
    const answer = await product.call<ProblemBody>(method, path);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.body.status).toBe(status);
  });

  test('a body that is not said to be JSON', async () => {
    const headers = { 'content-type': 'text/plain' };
    expect((await product.call('POST', '/api/execute', '{"prompt": "x"}', headers)).status).toBe(415);
  });
});

describe('no request of any form is answered as an error of ours', () => {
  const parts = [
    '',
    ...TOO_LONG,
    'x'.repeat(4_000),
    'a%2Fb',
    '%2F',
    '//',
    '.',
    '..',
    '%2e%2e',
    '%2e%2e%2fexecutions',
    '%',
    '%zz',
    '%E0%A4%A',
    '%FF',
    '%C0%80',
    '%2500',
    '%0D%0Ax:y',
    '%5C',
    '%E2%80%AE',
    '{id}',
    'a;b=c',
    'a+b',
    '*',
    ':80',
    '@x',
    '?',
    '__proto__',
    'constructor',
  ];
  const places = [
    ...[
      '/api/{}',
      '/{}',
      '/api/executions/{}',
      '/executions/{}',
      '/api//executions/{}',
      '/ws/{}',
      '/api/ws{}',
    ],
    ...['/api/executions/{}/', '/api/executions/{}/events', '/api/executions/{}/artifacts/a'],
    ...[
      '/api/executions/x/artifacts/{}',
      '/api/executions/x/artifacts/{}/b',
      '/api/execute/{}',
      '/health/{}',
    ],
    ...['/files/{}', '/files//{}', '/files/executor/{}', '/files/x/{}', '/assets/{}'],
    ...['/api/executions?limit={}', '/api/executions?cursor={}', '/api/executions?{}={}', '/ws?execution={}'],
    ...[
      '/api/executions/x?{}',
      '/api/executions/x/events?after={}',
      '/api/executions/x/artifacts/a?attempt={}',
    ],
    ...['/api/executions/x/artifacts/a?name={}', '/api/health?{}', '/api/metrics?{}', '/files/executor/x?{}'],
  ];
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'];

  /** As it is: fetch would put a path in order. */
  async function ask(method: string, path: string): Promise<[status: number, type: string]> {
    const { hostname, port } = new URL(product.url);
    const request = http.request({ hostname, port, method, path, headers: { connection: 'close' } });
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    await once(response, 'end');
    return [response.statusCode ?? 0, response.headers['content-type'] ?? ''];
  }

  test.each(places)('%s', async (place) => {
    for (const part of parts) {
      for (const method of methods) {
        const path = place.replaceAll('{}', part);
        const [status, type] = await ask(method, path);
        const told = `${method} ${path.slice(0, 80)}: ${status} ${type}`;
        expect(status, told).toBeLessThan(500);
        if (status >= 400 && method !== 'HEAD') expect(told).toMatch(/application\/(problem\+json|xml)$/);
      }
    }
  });
});

test('a WebSocket of an id that no execution can have is refused', async () => {
  for (const id of ['x'.repeat(2_100), 'ä'.repeat(1_050), '\0', ' ']) {
    const follower = product.follow({ execution_id: id, ticket: 'x'.repeat(3_000) } as Execution);
    await expect(follower.ended).rejects.toThrow('403');
  }
});

describe('POST /execute', () => {
  test('Prefer: respond-async answers 202 at once, with Location and ticket', async () => {
    const gate = Promise.withResolvers<void>();
    product.model.replyTo('Later, please', { text: python('print(1)'), gate: gate.promise });
    const answer = await product.call<Execution>(
      'POST',
      '/api/execute',
      { prompt: 'Later, please' },
      { prefer: 'respond-async' },
    );
    expect(answer.status).toBe(202);
    expect(answer.headers.get('preference-applied')).toBe('respond-async');
    expect(answer.headers.get('location')).toBe(`/api/executions/${answer.body.execution_id}`);
    expect(answer.body.ticket).toMatch(/^[\w-]{20,}$/);
    const follower = product.follow(answer.body);
    gate.resolve();
    await follower.ended;
    follower.close();
  });

  test('Prefer: wait=0 does not wait', async () => {
    product.model.replyTo('No waiting', python('print(1)'));
    const answer = await product.call<Execution>(
      'POST',
      '/execute',
      { prompt: 'No waiting' },
      { prefer: 'wait=0' },
    );
    expect(answer.status).toBe(202);
    const follower = product.follow(answer.body);
    await follower.ended;
    follower.close();
  });

  test('the same Idempotency-Key gives the same execution, with another body an error', async () => {
    product.model.replyTo('Only once', python('print(1)'));
    const headers = { 'idempotency-key': 'key-1' };
    const post = (prompt: string) => product.call<Execution>('POST', '/api/execute', { prompt }, headers);
    const [first, second] = await Promise.all([post('Only once'), post('Only once')]);
    expect(second.body.execution_id).toBe(first.body.execution_id);
    expect(first.body.status).toBe('succeeded');
    expect(product.model.requests.filter(({ text }) => text.includes('Only once'))).toHaveLength(1);
    const other = await product.call<ProblemBody>('POST', '/api/execute', { prompt: 'Twice' }, headers);
    expect(other.status).toBe(422);
    expect(other.body.type).toMatch(/idempotency-key-reused$/);
  });

  test('without settings of its own it takes those of the service', async () => {
    product.model.replyTo('Defaults', python('print(1)'));
    expect(await product.run({ prompt: 'Defaults' })).toMatchObject({
      max_retries: 5,
      timeout: 30,
      policy: 'strict',
      model: 'test-model',
    });
  });
});

describe('events', () => {
  test('tell the whole story, numbered without gaps, and again to who comes later', async () => {
    product.model.replyTo('Tell me', python('1 / 0'), python('print("hello")'));
    const execution = await product.start({ prompt: 'Tell me' });
    const follower = product.follow(execution);
    await follower.ended;
    follower.close();
    expect(follower.events.map(({ sequence }) => sequence)).toEqual(
      follower.events.map((_, index) => index + 1),
    );
    // When the sandbox is ready, how much of the code is told while it is written, and whether a run lasts so long that its
    // begin is told, is a matter of time.
    const story = follower.events
      .map(({ type }) => type)
      .filter((type) => !['sandbox.ready', 'code.delta', 'run.started'].includes(type));
    const attempt = ['attempt.started', 'code.completed', 'check.passed', 'attempt.finished'];
    expect(story).toEqual(['execution.started', ...attempt, ...attempt, 'execution.finished']);
    expect(follower.events.filter(({ type }) => type === 'sandbox.ready')).toHaveLength(1);

    const late = product.follow(execution, 3);
    await late.ended;
    late.close();
    expect(late.events).toEqual(follower.events.slice(3));
    const polled = await product.call<object>(
      'GET',
      `/api/executions/${execution.execution_id}/events?after=3`,
    );
    expect(polled.body).toEqual({ events: late.events });
  });

  test('that no one message can hold come whole to who goes on late', async () => {
    const { appendEvent } = await import('../support/store.ts');
    product.model.replyTo('Tell me much', python('print(1)'));
    const execution = await product.run({ prompt: 'Tell me much' });
    // Each fits into a message of 128 KB and no two do, though in characters they would.
    const texts = Array.from({ length: 6 }, (_, index) => `${index}${'é'.repeat(40_000)}`);
    for (const text of texts)
      await appendEvent(execution.execution_id, { type: 'code.delta', attempt: 1, text });
    const follower = product.follow(execution);
    onTestFinished(() => follower.close());
    const told = () => follower.events.filter(({ type }) => type === 'code.delta').slice(-texts.length);
    const expected = texts.map((text) => expect.objectContaining({ text }));
    await expect.poll(told, { timeout: 10_000 }).toEqual(expected);
    expect(follower.events.map(({ sequence }) => sequence)).toEqual(
      follower.events.map((_, index) => index + 1),
    );
  });

  test('hold output while the program runs, and the snapshot holds it too', async () => {
    const code = 'import time\nprint("first", flush=True)\ntime.sleep(30)\nprint("last")';
    product.model.replyTo('Slow output', python(code));
    const execution = await product.start({ prompt: 'Slow output' });
    const follower = product.follow(execution);
    await follower.seen((event) => event.type === 'run.output' && event.text.includes('first'));
    const snapshot = await product.get(execution.execution_id);
    expect(snapshot.results[0]).toMatchObject({ status: 'running', code, output: 'first\n', success: false });
    await product.call('DELETE', `/api/executions/${execution.execution_id}`);
    await follower.ended;
    follower.close();
  });

  test('are only for who has the ticket', async () => {
    product.model.replyTo('Private', python('print(1)'));
    const execution = await product.run({ prompt: 'Private' });
    for (const ticket of ['', 'wrong', `${execution.ticket}x`]) {
      const follower = product.follow({ ...execution, ticket });
      await expect(follower.ended).rejects.toThrow(/40[13]/);
    }
  });
});

describe('history', () => {
  test('pages, newest first', async () => {
    for (const prompt of ['Page A', 'Page B', 'Page C']) {
      product.model.replyTo(prompt, python('print(1)'));
      await product.run({ prompt });
    }
    const prompts: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = cursor ? `&cursor=${cursor}` : '';
      const { body }: { body: History } = await product.call<History>(
        'GET',
        `/api/executions?limit=2${query}`,
      );
      expect(body.executions.length).toBeLessThanOrEqual(2);
      prompts.push(...body.executions.map(({ prompt }) => prompt));
      cursor = body.next_cursor;
    }
    expect(prompts.slice(0, 3)).toEqual(['Page C', 'Page B', 'Page A']);
    expect(new Set(prompts).size).toBe(prompts.length);
  });
});

describe('artifacts', () => {
  test('are files that the code left, sent as a download unless plain pictures', async () => {
    const code = 'with open("data.csv", "w") as file:\n    file.write("a,b\\n1,2\\n")\nprint("done")';
    product.model.replyTo('Write a file', python(code));
    const execution = await product.run({ prompt: 'Write a file', policy: 'standard' });
    expect(execution.results[0]?.artifacts).toEqual([
      { name: 'data.csv', size: 8, content_type: 'text/csv' },
    ]);
    const path = `/api/executions/${execution.execution_id}/artifacts/data.csv`;
    const redirect = await product.call('GET', path);
    expect(redirect.status).toBe(302);
    const file = await fetch(new URL(redirect.headers.get('location') ?? '', product.url));
    expect(await file.text()).toBe('a,b\n1,2\n');
    expect(file.headers.get('content-disposition')).toBe("attachment; filename*=UTF-8''data.csv");
    expect(file.headers.get('content-type')).toBe('application/octet-stream');
    expect(file.headers.get('content-security-policy')).toContain('sandbox');
    expect((await product.call('GET', `${path}?attempt=2`)).status).toBe(404);
    const other = await product.call('GET', `${path.replace('data.csv', 'x')}?name=data.csv`);
    expect(other.status).toBe(302);
    expect((await product.call('GET', path.replace('data.csv', '..%2Fready.json'))).status).toBe(404);
  });
});

describe('long texts', () => {
  test('outputs that one answer cannot hold are cut in the middle', async () => {
    // A line break counts four times in what Lambda hands over.
    const program = python('print("first")\nprint("1\\n" * 300_000)\nprint("last")\n1 / 0');
    product.model.replyTo('Very much', program, program, program, program);
    const execution = await product.run({ prompt: 'Very much', max_retries: 4 });
    expect(execution.results).toHaveLength(4);
    for (const { output, output_truncated } of execution.results) {
      expect(output).toMatch(/^first\n1\n/);
      expect(output).toMatch(/characters left out/);
      expect(output?.trimEnd()).toMatch(/\nlast$/);
      expect(output_truncated).toBe(true);
    }
  });

  test('code and output beyond what an item holds come back whole', async () => {
    const code = `${'# a comment line\n'.repeat(2_500)}print("x" * 300_000)`;
    product.model.replyTo('Long', { text: python(code), pieceSize: 5_000 });
    const execution = await product.run({ prompt: 'Long' });
    expect(execution.final_result?.code).toBe(code);
    expect(execution.final_result?.output).toBe(`${'x'.repeat(300_000)}\n`);
  });
});

describe('metrics', () => {
  test('as JSON and as Prometheus text', async () => {
    product.model.replyTo('Counted as one that failed', python('1 / 0'));
    product.model.replyTo('Counted as one that succeeded', python('print(1)'));
    await product.run({ prompt: 'Counted as one that failed', max_retries: 1 });
    await product.run({ prompt: 'Counted as one that succeeded' });
    product.model.replyTo('Counted as one that was cancelled', { text: '', ending: 'hang' });
    const { execution_id } = await product.start({ prompt: 'Counted as one that was cancelled' });
    await product.call('DELETE', `/api/executions/${execution_id}`);
    const { body } = await product.call<Record<string, number>>('GET', '/metrics');
    const { executions } = (await product.call<History>('GET', '/api/executions?limit=100')).body;
    const count = (status: string) => executions.filter((one) => one.status === status).length;
    const [succeeded, failed, cancelled] = [count('succeeded'), count('failed'), count('cancelled')];
    expect(body).toMatchObject({ total_executions: executions.length, succeeded, failed, cancelled });
    expect(body.success_rate).toBe(succeeded / (succeeded + failed));
    const attempts = executions.map((one) => (one.status === 'succeeded' ? one.attempts : 0));
    expect(body.average_attempts).toBe(attempts.reduce((sum, n) => sum + n, 0) / succeeded);
    expect(body.uptime).toBeGreaterThan(0);
    const text = await product.call<string>('GET', '/metrics', undefined, { accept: 'text/plain' });
    expect(text.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(text.body).toContain(`executor_executions_started_total ${body.total_executions}\n`);
  });
});

test('/openapi.json describes every route', async () => {
  const { routes } = await import('../../functions/api/routes.ts');
  const { body } = await product.call<{ openapi: string; paths: Record<string, object> }>(
    'GET',
    '/openapi.json',
  );
  expect(body.openapi).toBe('3.1.0');
  for (const { method, path } of routes) {
    expect(body.paths[path.replace('+}', '}')]).toHaveProperty(method.toLowerCase());
  }
});
