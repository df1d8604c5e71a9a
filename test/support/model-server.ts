/**
 * An OpenAI-compatible server that answers as a test scripts it.
 *
 *     const model = await startModelServer();
 *     model.reply(python('print(1 / 0)'), python('print(1)'));                   // in the order of the requests
 *     model.replyTo('task number 7', { status: 429, headers: { 'retry-after': '0' } }, python('print(7)'));
 *     …
 *     model.requests[1].text                                                     // what it was asked
 *     await model.close();
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

/** One scripted answer; a string is a whole reply that consists of it. */
export type ScriptedReply = string | StreamedReply | StatusReply;

export interface StreamedReply {
  text: string;
  /** After the text: `finish` (default) properly, `drop` the connection, `end` it without an end of the reply, `hang`. */
  ending?: 'finish' | 'drop' | 'end' | 'hang';
  /** Default: `stop`. */
  finishReason?: string;
  /** Default: 10 + 5 tokens; null: the server does not count. */
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number } | null;
  /** Characters of a chunk. Default: 8. */
  pieceSize?: number;
  /** Milliseconds before each chunk of the text. Default: none. */
  pieceDelay?: number;
  /** Nothing is sent, not even the headers, before this is resolved. */
  gate?: Promise<unknown>;
  /** The last chunk of the text is sent, but the rest only when this is resolved. */
  gateBeforeEnd?: Promise<unknown>;
  /** Events sent before the text, as they are: chunks that other servers send, or errors. */
  before?: object[];
  /** How many comments are sent before all else, 25 ms apart. */
  comments?: number;
}

export interface StatusReply {
  status: number;
  headers?: Record<string, string>;
  /** Default: an error in OpenAI's shape. A string is sent as it is. */
  body?: object | string;
}

export interface ModelRequest {
  headers: IncomingMessage['headers'];
  body: { model: string; messages: { role: string; content: string }[]; stream: boolean } & Record<
    string,
    unknown
  >;
  /** all messages, one after the other */
  text: string;
  /** Resolves when the connection of this request is closed by the client or the answer is complete. */
  closed: Promise<'by client' | 'complete'>;
}

export interface ModelServer {
  /** The base URL, ends in /v1. */
  url: string;
  /** in the order in which they came */
  requests: ModelRequest[];
  /** Adds answers for requests that no `replyTo` matches. */
  reply(...replies: ScriptedReply[]): void;
  /** Adds answers for the requests whose messages hold `part`. */
  replyTo(part: string, ...replies: ScriptedReply[]): void;
  /** Resolves with the request number `count`, from 1, when it has come. */
  received(count: number): Promise<ModelRequest>;
  close(): Promise<void>;
}

/** A reply that holds the program in a fence. */
export function python(code: string): string {
  return `\`\`\`python\n${code}\n\`\`\``;
}

/**
 * A request beyond the script is answered with an error that is not tried again: the test sees it. `answer`: gives the
 * replies to all requests for which none is scripted.
 */
export async function startModelServer(
  port = 0,
  answer?: (request: ModelRequest) => ScriptedReply,
): Promise<ModelServer> {
  const requests: ModelRequest[] = [];
  const scripts: { part: string; replies: ScriptedReply[] }[] = [];
  const waiting: { count: number; resolve(request: ModelRequest): void }[] = [];

  const server = createServer(async (incoming, response) => {
    try {
      const request = await readRequest(incoming, response);
      requests.push(request);
      for (const { count, resolve } of waiting) if (count === requests.length) resolve(request);
      const script = scripts.find(
        ({ part, replies }) => part && replies.length > 0 && request.text.includes(part),
      );
      const reply = (script ?? scripts.find(({ part }) => part === ''))?.replies.shift();
      await send(
        response,
        reply ??
          answer?.(request) ?? {
            status: 400,
            body: { error: { message: 'No reply is scripted for this.' } },
          },
      );
    } catch (error) {
      response.destroy(error as Error);
    }
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');

  const replyTo = (part: string, ...replies: ScriptedReply[]) => {
    const script = scripts.find((candidate) => candidate.part === part);
    if (script) script.replies.push(...replies);
    else scripts.push({ part, replies });
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    reply: (...replies) => replyTo('', ...replies),
    replyTo,
    received: (count) => {
      const request = requests[count - 1];
      return request ? Promise.resolve(request) : new Promise((resolve) => waiting.push({ count, resolve }));
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function readRequest(incoming: IncomingMessage, response: ServerResponse): Promise<ModelRequest> {
  const closed = new Promise<'by client' | 'complete'>((resolve) => {
    response.once('close', () => resolve(response.writableFinished ? 'complete' : 'by client'));
  });
  const body = (await json(incoming)) as ModelRequest['body'];
  const text = body.messages.map(({ content }) => content).join('\n\n');
  return { headers: incoming.headers, body, text, closed };
}

async function send(response: ServerResponse, scripted: ScriptedReply): Promise<void> {
  const reply = typeof scripted === 'string' ? { text: scripted } : scripted;
  if ('status' in reply) return sendStatus(response, reply);

  const {
    text,
    ending = 'finish',
    finishReason = 'stop',
    pieceSize = 8,
    pieceDelay,
    gate,
    gateBeforeEnd,
    before = [],
    comments = 0,
  } = reply;
  await gate;
  if (ending === 'hang' && text === '' && before.length === 0) return;
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const write = (event: object) => response.write(`data: ${JSON.stringify(event)}\n\n`);
  const chunk = (choices: object[], more = {}) =>
    write({
      id: 'chatcmpl-test',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'test',
      choices,
      ...more,
    });
  const delta = (delta: object, finish_reason: string | null = null) =>
    chunk([{ index: 0, delta, finish_reason }]);

  for (let sent = 0; sent < comments; sent++) {
    response.write(': keep-alive\n\n');
    await sleep(25);
  }
  for (const event of before) write(event);
  if (text) delta({ role: 'assistant', content: '' });
  for (let at = 0; at < text.length; at += pieceSize) {
    if (pieceDelay) await sleep(pieceDelay);
    delta({ content: text.slice(at, at + pieceSize) });
  }
  await gateBeforeEnd;
  if (ending === 'hang') return;
  if (ending === 'end') return void response.end();
  if (ending === 'drop') {
    // Only when what was written has left, else the client may never see it.
    await new Promise<void>((resolve) => response.write(': dropped\n\n', () => resolve()));
    return void response.destroy();
  }
  delta({}, finishReason);
  const { usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } } = reply;
  if (usage) chunk([], { usage });
  response.end('data: [DONE]\n\n');
}

function sendStatus(response: ServerResponse, { status, headers, body }: StatusReply): void {
  const standard = {
    error: { message: `status ${status} as scripted`, type: 'test', param: null, code: null },
  };
  const text = typeof body === 'string' ? body : JSON.stringify(body ?? standard);
  const type = typeof body === 'string' ? 'text/html' : 'application/json';
  response.writeHead(status, { 'content-type': type, ...headers }).end(text);
}
