import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type GenerateRequest, generateCode, type ModelWait } from '../../functions/model/client.ts';
import { ModelError } from '../../functions/model/errors.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';

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

/** The minute of patience is over with the failure after so many. */
function aMinutePassesIn(requests: number) {
  vi.spyOn(performance, 'now').mockImplementation(() => (server.requests.length * 60_000) / requests);
}

function ask(request: Partial<GenerateRequest> = {}) {
  return generateCode({
    messages: [{ role: 'user', content: 'print one' }],
    ...request,
    config: { apiKey: KEY, baseURL: server.url, model: 'test-model', ...request.config },
  });
}

async function failure(request: Partial<GenerateRequest> = {}): Promise<ModelError> {
  const error = await ask(request).then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(ModelError);
  expect(String((error as Error).stack)).not.toContain(KEY);
  expect((error as Error).cause).toBeUndefined();
  return error as ModelError;
}

const config = (more: Partial<GenerateRequest['config']>) => ({
  apiKey: KEY,
  baseURL: server.url,
  model: 'test-model',
  ...more,
});

describe('a reply', () => {
  it('is streamed and returned whole, with its end and its usage', async () => {
    server.reply({ text: 'Hello, wörld! 🐍🐍', pieceSize: 3 });
    const pieces: string[] = [];
    const reply = await ask({
      onText: (text) => {
        pieces.push(text);
      },
    });
    expect(reply).toEqual({
      text: 'Hello, wörld! 🐍🐍',
      finishReason: 'stop',
      usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
    });
    expect(pieces.length).toBeGreaterThan(4);
    expect(pieces.join('')).toBe(reply.text);
    expect(server.requests[0]?.body).toEqual({
      model: 'test-model',
      messages: [{ role: 'user', content: 'print one' }],
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(server.requests[0]?.headers.authorization).toBe(`Bearer ${KEY}`);
  });

  it('may be cut off, and may come from a server that does not count tokens', async () => {
    server.reply({ text: 'print(', finishReason: 'length', usage: null });
    expect(await ask()).toEqual({ text: 'print(', finishReason: 'length', usage: null });
  });

  it('survives the oddities of other servers', async () => {
    const odd = (delta: object | null) => ({ choices: [{ index: 0, delta, finish_reason: null }] });
    server.reply({
      text: 'answer',
      before: [
        { choices: [], prompt_filter_results: [] },
        { id: 'no choices at all' },
        odd({ role: 'assistant', content: null }),
        odd({ content: '', reasoning_content: 'thinking' }),
        odd({ content: [{ type: 'thinking', thinking: 'as a list' }] }),
        odd(null),
        odd({}),
        {
          choices: [{ index: 0, delta: { content: '' }, finish_reason: '' }],
          usage: { prompt_tokens: 'many' },
        },
      ],
    });
    expect(await ask()).toMatchObject({ text: 'answer', finishReason: 'stop', usage: { total_tokens: 15 } });
  });

  it('counts as cut off once it is far too long', async () => {
    server.reply({ text: 'x'.repeat(1_200_000), pieceSize: 20_000, ending: 'hang' });
    const reply = await ask();
    expect(reply.finishReason).toBe('length');
    expect(reply.text.length).toBeLessThan(1_100_000);
    expect(await server.requests[0]?.closed).toBe('by client');
  });

  it('does not depend on how the connection ends after it', async () => {
    server.reply({ text: 'half', ending: 'drop' });
    server.reply({
      text: '',
      before: [{ choices: [{ index: 0, delta: { content: 'whole' }, finish_reason: 'stop' }] }],
      ending: 'drop',
    });
    expect(await ask()).toMatchObject({ text: 'whole', finishReason: 'stop' });
    expect(server.requests).toHaveLength(2);
  });

  it('needs no key', async () => {
    server.reply('fine');
    expect(await ask({ config: config({ apiKey: undefined }) })).toMatchObject({ text: 'fine' });
  });

  it('goes on failing the way its reader does', async () => {
    server.reply({ text: 'a long reply', ending: 'hang' });
    const onText = () => {
      throw new RangeError('the store is full');
    };
    await expect(ask({ onText })).rejects.toThrow(new RangeError('the store is full'));
    expect(await server.requests[0]?.closed).toBe('by client');
    expect(server.requests).toHaveLength(1);
  });
});

describe('what passes is tried again', () => {
  it.each([
    ['429 with retry-after-ms', { status: 429, headers: NOW }],
    ['429 with Retry-After in seconds', { status: 429, headers: { 'retry-after': '0' } }],
    ['429 with Retry-After as a date', { status: 429, headers: { 'retry-after': new Date().toUTCString() } }],
    ['500', { status: 500, headers: NOW }],
    ['503 that is not JSON', { status: 503, headers: NOW, body: '<html>busy</html>' }],
  ])('%s', async (_, reply) => {
    server.reply(reply, reply, 'at last');
    expect(await ask()).toMatchObject({ text: 'at last' });
    expect(server.requests).toHaveLength(3);
  });

  it('after the wait that the server asks for', async () => {
    server.reply({ status: 429, headers: { 'retry-after': '1' } }, 'at last');
    const before = performance.now();
    await ask();
    // Without the header the first wait is at most 0.5 s.
    expect(performance.now() - before).toBeGreaterThan(950);
  });

  it.each(['drop', 'end'] as const)(
    'a stream that breaks off (%s), and its reader is told',
    async (ending) => {
      server.reply({ text: 'half of ', ending }, 'the whole reply');
      let shown = '';
      const reply = await ask({
        onText: (text) => {
          shown += text;
        },
        onRestart: () => {
          expect(shown).toBe('half of ');
          shown = '';
        },
      });
      expect(reply.text).toBe('the whole reply');
      expect(shown).toBe('the whole reply');
    },
  );

  it('a stream that stalls', async () => {
    server.reply({ text: 'half of ', ending: 'hang' }, 'the whole reply');
    let restarts = 0;
    const reply = await ask({ config: config({ timeout: 0.2 }), onRestart: () => void restarts++ });
    expect(reply.text).toBe('the whole reply');
    expect(restarts).toBe(1);
    expect(await server.requests[0]?.closed).toBe('by client');
  });

  it('a server that is away and comes back, told before each wait, with growing pauses', async () => {
    const port = await freePort();
    const waits: ModelWait[] = [];
    let revived: ModelServer | undefined;
    let restarts = 0;
    const reply = await ask({
      config: config({ baseURL: `http://127.0.0.1:${port}/v1` }),
      onWaiting: async (wait) => {
        waits.push(wait);
        if (waits.length < 3) return;
        revived = await startModelServer(port);
        revived.reply('at last');
      },
      onRestart: () => void restarts++,
    });
    await revived?.close();
    expect(reply.text).toBe('at last');
    expect(restarts).toBe(1);
    expect(new Set(waits.map(({ reason }) => reason))).toEqual(new Set(['the model server does not answer']));
    const [first, second, third] = waits.map(({ seconds }) => seconds);
    expect(first).toBeLessThan(second ?? 0);
    expect(second).toBeLessThan(third ?? 0);
  });

  it('an error inside the stream', async () => {
    server.reply(
      { text: '', before: [{ error: { message: 'the GPU is gone', code: 502 } }] },
      'the whole reply',
    );
    expect(await ask()).toMatchObject({ text: 'the whole reply' });
  });
});

describe('what does not pass ends with a sentence that says what to do', () => {
  it('a wrong key', async () => {
    server.reply({ status: 401, body: { error: { message: `Incorrect API key provided: ${KEY}` } } });
    const error = await failure();
    expect(error).toMatchObject({ kind: 'wrong_key', fatal: true });
    expect(error.message).toBe(
      `The model server at ${server.url} refused the key: set OPENAI_API_KEY to a valid one.`,
    );
  });

  it('no key where one is needed', async () => {
    server.reply({ status: 401 });
    const error = await failure({ config: config({ apiKey: undefined }) });
    expect(error.message).toBe(`The model server at ${server.url} asks for a key: set OPENAI_API_KEY.`);
  });

  it('a key that may not use the model', async () => {
    server.reply({ status: 403, body: { error: { message: `${KEY} is not allowed here` } } });
    const error = await failure();
    expect(error).toMatchObject({ kind: 'wrong_key', fatal: true });
    expect(error.message).toContain('(403: [key] is not allowed here)');
  });

  it.each([
    ['OpenAI', 404, { error: { message: 'The model `test-model` does not exist', code: 'model_not_found' } }],
    ['Ollama', 404, { error: { message: 'model "test-model" not found, try pulling it first', code: null } }],
    ['OpenAI, by project', 403, { error: { message: 'no access to it', code: 'model_not_found' } }],
  ])('an unknown model (%s)', async (_, status, body) => {
    server.reply({ status, body });
    const error = await failure();
    expect(error).toMatchObject({ kind: 'unknown_model', fatal: true });
    expect(error.message).toContain(
      'does not know the model `test-model`: set OPENAI_MODEL to one that it offers',
    );
  });

  it('a wrong path', async () => {
    server.reply({ status: 404, body: '404 page not found' });
    const error = await failure();
    expect(error).toMatchObject({ kind: 'unknown_model', fatal: true });
    expect(error.message).toContain(
      'OPENAI_BASE_URL is not the address of its API, which usually ends in /v1',
    );
  });

  it('a request that is not accepted', async () => {
    server.reply({ status: 400, body: { error: { message: `too many\n tokens ${'x'.repeat(900)}` } } });
    const error = await failure();
    expect(error).toMatchObject({ kind: 'bad_request', fatal: true });
    expect(error.message).toContain('(400: too many tokens xxx');
    expect(error.message.length).toBeLessThan(700);
  });

  it('a limit that stays', async () => {
    aMinutePassesIn(5);
    server.reply(...Array.from({ length: 6 }, () => ({ status: 429, headers: NOW })));
    const error = await failure();
    expect(error).toMatchObject({ kind: 'rate_limited', fatal: false });
    expect(error.message).toContain('limits how much may be asked (429: status 429 as scripted)');
    expect(server.requests).toHaveLength(6);
  });

  it('a limit that asks for too long a wait', async () => {
    server.reply({ status: 429, headers: { 'retry-after': '3600' } });
    const error = await failure();
    expect(error).toMatchObject({ kind: 'rate_limited', fatal: true, retryAfter: 3600 });
    expect(error.message).toContain('asks to wait 3600 s');
    expect(server.requests).toHaveLength(1);
  });

  it('no credit left', async () => {
    server.reply({
      status: 429,
      headers: NOW,
      body: { error: { message: 'quota', code: 'insufficient_quota' } },
    });
    const error = await failure();
    expect(error).toMatchObject({ kind: 'rate_limited', fatal: true });
    expect(error.message).toContain('no credit left');
    expect(server.requests).toHaveLength(1);
  });

  it('a server in trouble', async () => {
    aMinutePassesIn(5);
    server.reply(...Array.from({ length: 6 }, () => ({ status: 500, headers: NOW })));
    const error = await failure();
    expect(error).toMatchObject({ kind: 'unavailable', fatal: false });
    expect(error.message).toContain('has trouble answering (500: status 500 as scripted)');
    expect(server.requests).toHaveLength(6);
  });

  it('a stream that always breaks off', async () => {
    server.reply(...Array.from({ length: 3 }, () => ({ text: 'half', ending: 'drop' as const })));
    const error = await failure();
    expect(error).toMatchObject({ kind: 'unavailable', fatal: false });
    expect(error.message).toContain('broke off its reply');
    expect(server.requests).toHaveLength(3);
  });

  it('a server that says nothing', async () => {
    server.reply({ text: '', ending: 'hang' });
    const error = await failure({ config: config({ timeout: 0.2 }) });
    expect(error).toMatchObject({ kind: 'unavailable', fatal: true });
    expect(error.message).toContain('sent nothing for 0.2 s');
    expect(await server.requests[0]?.closed).toBe('by client');
    expect(server.requests).toHaveLength(1);
  });

  it('no server', async () => {
    const port = await freePort();
    const error = await failure({
      config: config({ baseURL: `http://127.0.0.1:${port}/v1?key=${KEY}`, patience: 0.6 }),
    });
    expect(error).toMatchObject({ kind: 'unavailable', fatal: false });
    expect(error.message).toContain(`http://127.0.0.1:${port}/v1 could not be reached (ECONNREFUSED)`);
  });

  it('something that is no model server', async () => {
    server.reply({ status: 200, body: '<html>Welcome</html>' });
    const error = await failure();
    expect(error).toMatchObject({ kind: 'bad_request', fatal: true });
    expect(error.message).toContain('check OPENAI_BASE_URL');
  });

  it.each([
    ['wrong_key', { apiKey: 'sk-ключ' }],
    ['wrong_key', { apiKey: 'sk-two\nlines' }],
    ['bad_request', { baseURL: 'localhost:11434/v1' }],
    ['bad_request', { baseURL: `http://user:${KEY}@localhost/v1` }],
  ])('settings that cannot work: %s %j', async (kind, settings) => {
    const error = await failure({ config: config(settings) });
    expect(error).toMatchObject({ kind, fatal: true });
    expect(error.message).not.toMatch(/ключ|two|user:/);
  });
});

describe('cancelling', () => {
  it.each([
    ['before the first byte', { text: '', ending: 'hang' as const }],
    ['in mid-stream', { text: 'half', ending: 'hang' as const }],
  ])('closes the connection at once: %s', async (_, reply) => {
    server.reply(reply);
    const cancel = new AbortController();
    const asked = ask({ signal: cancel.signal });
    const request = await server.received(1);
    cancel.abort(new Error('cancelled by the user'));
    await expect(asked).rejects.toThrow('cancelled by the user');
    expect(await request.closed).toBe('by client');
    expect(server.requests).toHaveLength(1);
  });

  it('does not wait for the next try', async () => {
    server.reply({ status: 429, headers: { 'retry-after': '30' } });
    const cancel = new AbortController();
    const asked = ask({ signal: cancel.signal });
    await (await server.received(1)).closed;
    cancel.abort(new Error('cancelled by the user'));
    await expect(asked).rejects.toThrow('cancelled by the user');
  });

  it('before it began asks nothing', async () => {
    await expect(ask({ signal: AbortSignal.abort(new Error('too late')) })).rejects.toThrow('too late');
    expect(server.requests).toHaveLength(0);
  });
});

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
