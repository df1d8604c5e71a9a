/** Model servers of all kinds: what they refuse, how they answer, what they say when something is wrong. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { generateCode } from '../../functions/model/client.ts';
import { ModelError } from '../../functions/model/errors.ts';
import { extractCode } from '../../functions/model/extract-code.ts';
import { type ModelServer, type ScriptedReply, startModelServer } from '../support/model-server.ts';

const KEY = 'sk-secret-123';
const NOW = { 'retry-after-ms': '1' };

let server: ModelServer;
beforeEach(async () => {
  server = await startModelServer();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server.close();
});

function ask({ timeout = 10, model = 'test-model', onText = (_: string) => {} } = {}) {
  return generateCode({
    messages: [{ role: 'user', content: 'print one' }],
    config: { apiKey: KEY, baseURL: server.url, model, timeout },
    onText,
  });
}

async function failure(...replies: ScriptedReply[]): Promise<ModelError> {
  server.reply(...replies);
  const error = await ask().then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(ModelError);
  expect(String((error as Error).stack)).not.toContain(KEY);
  return error as ModelError;
}

/** An answer that does not stream. */
const completion = (message: object, finish_reason: string | null = 'stop') => ({
  status: 200,
  body: {
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', ...message }, finish_reason }],
    usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
  },
});

/** A stream, byte for byte. */
const events = (...lines: (string | object)[]) => ({
  status: 200,
  headers: { 'content-type': 'text/event-stream' },
  body: lines
    .map((line) => `${typeof line === 'string' ? line : `data: ${JSON.stringify(line)}`}\n\n`)
    .join(''),
});
const delta = (delta: object, finish_reason: string | null = null) => ({
  choices: [{ index: 0, delta, finish_reason }],
});

const asked = () =>
  server.requests.map(({ body }) => ['stream', 'stream_options'].filter((name) => name in body).join());

const PROGRAM = '```python\nprint(1)\n```';

describe('a server that refuses', () => {
  it.each([
    [
      'OpenAI',
      400,
      {
        error: {
          message: "Unknown parameter: 'stream_options'.",
          param: 'stream_options',
          code: 'unknown_parameter',
        },
      },
    ],
    [
      'FastAPI',
      422,
      {
        detail: [
          { type: 'extra_forbidden', loc: ['body', 'stream_options'], msg: 'Extra inputs are not permitted' },
        ],
      },
    ],
    [
      'Mistral',
      422,
      {
        object: 'error',
        message: {
          detail: [
            {
              type: 'extra_forbidden',
              loc: ['body', 'stream_options'],
              msg: 'Extra inputs are not permitted',
            },
          ],
        },
      },
    ],
    [
      'Azure',
      400,
      {
        error: { code: 400, message: 'Validation error at #/stream_options: Extra inputs are not permitted' },
      },
    ],
    ['a text', 400, 'unexpected field: stream_options.include_usage'],
    ['no words', 400, ''],
  ])('stream_options is asked without, then and later: %s', async (name, status, body) => {
    const model = `options-${name}`;
    server.reply({ status, body }, PROGRAM, PROGRAM);
    expect(await ask({ model })).toMatchObject({ text: PROGRAM, finishReason: 'stop' });
    expect(await ask({ model })).toMatchObject({ text: PROGRAM });
    expect(asked()).toEqual(['stream,stream_options', 'stream', 'stream']);
  });

  it.each([
    [
      'OpenAI',
      400,
      {
        error: {
          message: "Unsupported value: 'stream' does not support true with this model.",
          param: 'stream',
          code: 'unsupported_value',
        },
      },
    ],
    ['FastAPI', 422, { detail: [{ loc: ['body', 'stream'], msg: 'Extra inputs are not permitted' }] }],
    ['a sentence', 400, { message: 'Streaming completion is not supported yet.' }],
    ['another status', 501, { error: 'streaming is not implemented' }],
    ['trouble', 500, { error: { message: 'NotImplementedError: this model does not support streaming' } }],
    ['a text', 405, "This server doesn't stream"],
  ])('stream is asked without, then and later: %s', async (name, status, body) => {
    const model = `stream-${name}`;
    const pieces: string[] = [];
    server.reply({ status, body }, completion({ content: PROGRAM }), completion({ content: PROGRAM }));
    expect(await ask({ model, onText: (text) => pieces.push(text) })).toEqual({
      text: PROGRAM,
      finishReason: 'stop',
      usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
    });
    expect(pieces.join('')).toBe(PROGRAM);
    await ask({ model });
    expect(asked()).toEqual(['stream,stream_options', '', '']);
  });

  it('both is asked without both', async () => {
    server.reply(
      { status: 400, body: { error: { message: 'stream_options is unknown' } } },
      { status: 400, body: { error: { message: 'stream is unknown', param: 'stream' } } },
      completion({ content: PROGRAM }),
    );
    expect(await ask({ model: 'neither' })).toMatchObject({ text: PROGRAM });
    expect(asked()).toEqual(['stream,stream_options', 'stream', '']);
  });

  it('something else is not asked again, and the others of its models are asked for a stream', async () => {
    const error = await failure({ status: 400, body: { message: 'The upstream is too long.' } });
    expect(error.message).toContain('(400: The upstream is too long.)');
    expect(asked()).toEqual(['stream,stream_options']);
  });
});

describe('an answer', () => {
  it('in JSON to a request for a stream is read', async () => {
    server.reply(completion({ content: PROGRAM }, 'length'));
    expect(await ask()).toMatchObject({ text: PROGRAM, finishReason: 'length' });
    expect(server.requests).toHaveLength(1);
  });

  it('is read whatever it is said to be', async () => {
    const { body } = events(delta({ content: PROGRAM }, 'stop'), 'data: [DONE]');
    server.reply(
      { status: 200, headers: { 'content-type': 'application/json' }, body },
      { status: 200, headers: { 'content-type': 'text/plain' }, body: `: hello\n\n${body}` },
      { ...completion({ content: PROGRAM }), headers: { 'content-type': 'text/event-stream' } },
      { ...completion({ content: PROGRAM }), headers: { 'content-type': 'text/plain' } },
    );
    for (let count = 0; count < 4; count++) expect(await ask()).toMatchObject({ text: PROGRAM });
  });

  const call = { id: 'c', type: 'function', function: { name: 'python', arguments: '{"code": "print(1)"}' } };
  it.each([
    ['only reasoning_content', { content: null, reasoning_content: `So:\n${PROGRAM}` }],
    ['only reasoning', { content: '', reasoning: PROGRAM }],
    [
      'a list of parts',
      {
        content: [
          { type: 'text', text: '```python\n' },
          { type: 'text', text: 'print(1)\n```' },
        ],
      },
    ],
    ['a list of texts', { content: ['```python\nprint', '(1)\n```'] }],
    [
      'parts, one of them thought',
      {
        content: [
          { type: 'thinking', thinking: [{ type: 'text', text: '```python\nx = 0\n' }] },
          { type: 'text', text: PROGRAM },
        ],
      },
    ],
    [
      'only parts that are thought',
      { content: [{ type: 'thinking', thinking: [{ type: 'text', text: PROGRAM }] }] },
    ],
    ['a call of a tool', { content: null, tool_calls: [call] }],
    ['a call of a tool beside prose', { content: 'I will run this.', tool_calls: [call] }],
    [
      'a call with an object',
      { tool_calls: [{ function: { name: 'run', arguments: { code: 'print(1)' } } }] },
    ],
    [
      'a call with other arguments',
      {
        tool_calls: [
          {
            function: {
              name: 'run',
              arguments: '{"language": "python", "timeout": 3, "source_code": "print(1)"}',
            },
          },
        ],
      },
    ],
    [
      'a call with a fence',
      { tool_calls: [{ function: { name: 'run', arguments: JSON.stringify({ input: PROGRAM }) } }] },
    ],
    [
      'a call with the bare program',
      { tool_calls: [{ function: { name: 'python', arguments: 'print(1)' } }] },
    ],
    ['a custom tool', { tool_calls: [{ type: 'custom', custom: { name: 'python', input: 'print(1)' } }] }],
    ['a call of a function', { function_call: { name: 'python', arguments: '{"code": "print(1)"}' } }],
  ])('holds the program elsewhere: %s', async (_, message) => {
    server.reply(
      completion(message, 'tool_calls'),
      events(delta(message), delta({}, 'stop'), 'data: [DONE]'),
    );
    for (let count = 0; count < 2; count++) {
      const { text, finishReason } = await ask();
      expect(extractCode(text, finishReason)).toEqual({ code: 'print(1)' });
    }
  });

  it('holds it in the pieces of a call', async () => {
    const piece = (more: object) => delta({ tool_calls: [{ index: 0, function: more }] });
    server.reply(
      events(
        piece({ name: 'python', arguments: '' }),
        piece({ arguments: '{"code": "x = 1' }),
        piece({ arguments: '\\nprint(x)"}' }),
        delta({}, 'tool_calls'),
        'data: [DONE]',
      ),
    );
    const { text, finishReason } = await ask();
    expect(extractCode(text, finishReason)).toEqual({ code: 'x = 1\nprint(x)' });
  });

  it('without a program is told as it is', async () => {
    const search = { function: { name: 'search', arguments: '{"query": "weather"}' } };
    server.reply(
      completion({ tool_calls: [search] }),
      completion({ reasoning: 'I wonder about the weather.' }),
    );
    const calling = await ask();
    expect(extractCode(calling.text, calling.finishReason)).toEqual({
      error:
        'The reply holds no Python code. It says: The model called the tool "search" with {"query": "weather"}.',
    });
    const thinking = await ask();
    expect(extractCode(thinking.text, thinking.finishReason)).toEqual({
      error: 'The reply holds no Python code. It says: I wonder about the weather.',
    });
  });

  it('that ends with [DONE] is whole without a reason, if its block is', async () => {
    const bare = events(delta({ content: 'x = 1\nprint(x)' }));
    server.reply(
      events(delta({ content: PROGRAM }), 'data: [DONE]'),
      { ...bare, body: `${bare.body}data:[DONE]` },
      events(delta({ content: '```python\nprint(' }), 'data: [DONE]'),
    );
    const results = [];
    for (let count = 0; count < 3; count++) {
      const { text, finishReason } = await ask();
      results.push(extractCode(text, finishReason));
    }
    expect(results).toEqual([
      { code: 'print(1)' },
      { code: 'x = 1\nprint(x)' },
      { error: expect.stringContaining('its code block has no end'), code: 'print(' },
    ]);
    expect(server.requests).toHaveLength(3);
  });
});

describe('what the server says is shown', () => {
  const words = "This model's maximum context length is 4096 tokens.";
  const bodies: [string, object | string][] = [
    ['OpenAI', { error: { message: words, type: 'invalid_request_error', code: 'context_length_exceeded' } }],
    ['vLLM', { object: 'error', message: words, type: 'BadRequestError', param: null, code: 400 }],
    ['FastAPI', { detail: words }],
    ['pydantic', { detail: [{ loc: ['body', 'messages'], msg: words, type: 'value_error' }] }],
    ['TGI', { error: words, error_type: 'validation' }],
    ['a list of texts', { error: [words] }],
    ['message', { message: words }],
    ['msg', { code: 400, msg: words }],
    ['errors', { success: false, errors: [{ code: 7003, message: words }] }],
    ['Google', [{ error: { code: 400, message: words, status: 'INVALID_ARGUMENT' } }]],
    ['Anthropic', { type: 'error', error: { type: 'invalid_request_error', message: words } }],
    ['Mistral', { object: 'error', message: { detail: [{ loc: ['body'], msg: words }] } }],
    [
      'OpenRouter',
      {
        error: {
          code: 400,
          message: 'Provider returned error',
          metadata: { raw: JSON.stringify({ error: { message: words } }) },
        },
      },
    ],
    ['Spring', { status: 400, error: 'Bad Request', message: words, path: '/v1' }],
    ['RFC 9457', { type: 'about:blank', title: 'Bad request', detail: words }],
    ['JSON in a text', { error: { message: JSON.stringify({ error: { message: words } }) } }],
    ['a flag', { error: true, message: words }],
    ['another name', { failure: words }],
    ['text', words],
    [
      'a page',
      `<!DOCTYPE html><html><head><title>${words}</title><style>p {}</style></head><body>x</body></html>`,
    ],
  ];

  it.each(bodies)('with a status: %s', async (_, body) => {
    const { message } = await failure({ status: 400, body });
    expect(message).toMatch(/\(400: .*This model's maximum context length is 4096 tokens\./);
  });

  it.each(bodies.filter(([name]) => !/list|Google|another|page/.test(name)))(
    'inside a stream: %s',
    async (name, body) => {
      const data = `data: ${typeof body === 'string' ? body : JSON.stringify(body)}`;
      const replies = [events(delta({ content: 'half' }), data)];
      const more = Array.from({ length: 2 }, () => ({
        ...events(data),
        headers: { 'content-type': 'text/event-stream' },
      }));
      const { message } = await failure(...replies, ...more);
      expect(message, name).toContain(words);
    },
  );

  it('inside a stream, as an event of errors', async () => {
    const { message } = await failure(
      events(`event: error\ndata: ${JSON.stringify({ code: 400, text: words })}`),
    );
    expect(message).toContain(words);
  });

  it('in an answer whose status says that all is well', async () => {
    const { message } = await failure({ status: 200, body: { error: { message: words, code: 400 } } });
    expect(message).toContain(words);
  });

  it('in place of an answer', async () => {
    expect((await failure({ status: 200, body: '<html><title>Welcome!</title></html>' })).message).toContain(
      'did not answer with a chat completion: Welcome!; check OPENAI_BASE_URL',
    );
    expect((await failure({ status: 200, body: { hello: 'world' } })).message).toContain('{"hello":"world"}');
  });

  it('but never the key', async () => {
    for (const body of [{ detail: `no ${KEY}!` }, `no ${KEY}!`, { error: { message: `no ${KEY}!` } }])
      expect((await failure({ status: 400, body })).message).toContain('(400: no [key]!)');
    const inStream = events({ error: { message: `no ${KEY}!`, code: 400 } });
    expect((await failure(inStream)).message).toContain('no [key]!');
  });
});

describe('patience', () => {
  it('comments are life', async () => {
    server.reply({ text: PROGRAM, comments: 40 });
    expect(await ask({ timeout: 0.5 })).toMatchObject({ text: PROGRAM });
    expect(server.requests).toHaveLength(1);
  });

  it.each([
    ['llama.cpp', 503, { error: { code: 503, message: 'Loading model', type: 'unavailable_error' } }],
    ['llama.cpp, at the top', 503, { code: 503, message: 'Loading model', type: 'unavailable_error' }],
    ['Hugging Face', 503, { error: 'Model org/model is currently loading', estimated_time: 20 }],
    ['a text', 503, 'The model is not ready yet'],
    ['another status', 500, { detail: 'model is still warming up' }],
  ])('a model that is being loaded is waited for: %s', async (_, status, body) => {
    server.reply(...Array.from({ length: 8 }, () => ({ status, body, headers: NOW })), PROGRAM);
    expect(await ask()).toMatchObject({ text: PROGRAM });
    expect(server.requests).toHaveLength(9);
  });

  it('but not for more than a minute', async () => {
    vi.spyOn(performance, 'now').mockImplementation(() => server.requests.length * 25_000);
    const loading = { status: 503, headers: NOW, body: { error: { code: 503, message: 'Loading model' } } };
    const error = await failure(...Array.from({ length: 9 }, () => loading));
    expect(error).toMatchObject({ kind: 'loading' });
    expect(error.message).toContain('is still loading the model `test-model` (503: Loading model)');
    expect(server.requests).toHaveLength(4);
  });
});
