/**
 * The demo model: an OpenAI-compatible server that shows the loop of generating and repairing without a key. It
 * replays the scenarios of demo-scenarios.ts and answers any other prompt with an error that says how to connect a
 * real model. It keeps no state: a request that quotes a scenario's failed program is answered with the next one.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { DEMO_MODEL } from '../functions/service/config.ts';
import { demoScenarios } from './demo-scenarios.ts';

export interface DemoModel {
  /** The base URL, ends in /v1. */
  url: string;
  close(): Promise<void>;
}

const requestSchema = z.object({
  messages: z.array(z.object({ role: z.string(), content: z.string() })).min(1),
  stream: z.boolean().optional(),
  stream_options: z.object({ include_usage: z.boolean().optional() }).nullish(),
});

const HOW_TO_CONNECT =
  'This is the demo model, which only replays its scenarios: ' +
  `${demoScenarios.map(({ prompt }) => `"${prompt}"`).join(', ')}. ` +
  'To have any prompt answered, connect a real model: set OPENAI_API_KEY, or OPENAI_BASE_URL for Ollama, vLLM or ' +
  'LM Studio, in .env and restart.';

/** `delay`: milliseconds between the words of a reply, so that one can watch it being written. */
export async function startDemoModel({ delay = 15 }: { delay?: number } = {}): Promise<DemoModel> {
  const server = createServer((request, response) => {
    answer(request, response, delay).catch((error: unknown) => response.destroy(error as Error));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, delay: number): Promise<void> {
  const route = `${request.method} ${request.url?.split('?')[0]}`;
  if (route === 'GET /v1/models') {
    const model = { id: DEMO_MODEL, object: 'model', created: 0, owned_by: 'recursive-ai-executor' };
    return sendJson(response, 200, { object: 'list', data: [model] });
  }
  if (route !== 'POST /v1/chat/completions')
    return sendError(response, 404, `The demo model has no ${route}.`);

  const parsed = requestSchema.safeParse(parseJson(await text(request)));
  if (!parsed.success) return sendError(response, 400, 'The body is not a request for a chat completion.');
  const { messages, stream, stream_options } = parsed.data;
  const reply = replyTo(messages);
  if (reply === null) return sendError(response, 400, HOW_TO_CONNECT);

  const usage = countTokens(messages.map(({ content }) => content).join(''), reply);
  if (stream) return streamReply(response, reply, stream_options?.include_usage ? usage : null, delay);
  const message = { role: 'assistant', content: reply };
  sendJson(response, 200, {
    ...completion('chat.completion'),
    choices: [{ index: 0, message, finish_reason: 'stop' }],
    usage,
  });
}

/** The prompt must stand as a paragraph of its own; upper or lower case and a full stop make no difference. */
function replyTo(messages: { role: string; content: string }[]): string | null {
  const asked = messages
    .filter(({ role }) => role === 'user')
    .map(({ content }) => content)
    .join('\n\n');
  const paragraphs = asked.split(/\n\s*\n/).map(normalize);
  const scenario = demoScenarios.find(({ prompt }) => paragraphs.includes(normalize(prompt)));
  if (!scenario) return null;
  const { programs } = scenario;
  const tried = programs.findLastIndex((program) => asked.includes(program));
  const program = programs[Math.min(tried + 1, programs.length - 1)];
  return `\`\`\`python\n${program}\n\`\`\``;
}

function normalize(prompt: string): string {
  return prompt
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .replace(/[\s.!?]+$/, '')
    .trimStart();
}

async function streamReply(
  response: ServerResponse,
  reply: string,
  usage: object | null,
  delay: number,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  const send = (choices: object[], more = {}) =>
    response.write(
      `data: ${JSON.stringify({ ...completion('chat.completion.chunk'), choices, ...more })}\n\n`,
    );
  const delta = (delta: object, finish_reason: string | null = null) =>
    send([{ index: 0, delta, finish_reason }]);

  delta({ role: 'assistant', content: '' });
  for (const content of reply.match(/\s*\S+/g) ?? []) {
    if (delay > 0) await sleep(delay);
    if (response.destroyed) return;
    delta({ content });
  }
  delta({}, 'stop');
  if (usage) send([], { usage });
  response.end('data: [DONE]\n\n');
}

function completion(object: string) {
  return { id: 'chatcmpl-demo', object, created: Math.floor(Date.now() / 1_000), model: DEMO_MODEL };
}

/** A model would count about a token for four characters. */
function countTokens(prompt: string, reply: string) {
  const prompt_tokens = Math.ceil(prompt.length / 4);
  const completion_tokens = Math.ceil(reply.length / 4);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function sendError(response: ServerResponse, status: number, message: string): void {
  sendJson(response, status, { error: { message, type: 'invalid_request_error', param: null, code: null } });
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
