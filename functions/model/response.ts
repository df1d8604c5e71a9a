/** The body of a model server's answer: the events of a stream, or one completion in JSON, whichever was asked for. */
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { isServerError, parseBody, readServerError, type ServerError } from './server-words.ts';

/** The server answered with an error in place of a reply, or in the midst of it. */
export class ErrorInAnswer extends Error {
  override readonly name = 'ErrorInAnswer';
  constructor(readonly said: ServerError) {
    super('The answer of the model server is an error.');
  }
}

/** What answered is no model server: it sent a page, for instance. */
export class NoModelServer extends Error {
  override readonly name = 'NoModelServer';
  constructor(readonly said: ServerError) {
    super('The answer is not one of a model server.');
  }
}

/** What an answer that is whole ends with. */
export const END = Symbol('end');

/** Characters of one event, or of a completion as a whole. */
const LONGEST = 8_000_000;

/**
 * Gives the completion, or the pieces of it, and END if nothing is missing. `onLife` is called for whatever comes,
 * comments too. @throws ErrorInAnswer, NoModelServer, and what breaks the connection
 */
export async function* readBody(response: Response, onLife: () => void): AsyncGenerator<unknown> {
  const texts = textsOf(response, onLife);
  let begin = '';
  while (begin.trim() === '') {
    const { value, done } = await texts.next();
    if (done) break;
    begin += value;
  }
  // What an answer is said to be is not always what it is. A stream begins with a field's name or a comment.
  const isStream = response.headers.get('content-type')?.includes('text/event-stream');
  if (isStream ? !/^\s*[{[<]/.test(begin) : /^\s*(?:data|event|id|retry|:|[deir][a-z]{0,4}$)/.test(begin)) {
    yield* readEvents(begin, texts);
    return;
  }
  let text = begin;
  for await (const more of texts) if (text.length < LONGEST) text += more;
  const body = parseBody(text);
  if (typeof body !== 'object' || body === null) throw new NoModelServer(readServerError(text));
  checked(body);
  if (!('choices' in body)) throw new NoModelServer(readServerError(body));
  yield body;
  yield END;
}

async function* readEvents(begin: string, texts: AsyncIterable<string>): AsyncGenerator<unknown> {
  const events: EventSourceMessage[] = [];
  let tooLong = false;
  const parser = createParser({
    onEvent: (event) => events.push(event),
    onError: ({ type }) => {
      tooLong ||= type === 'max-buffer-size-exceeded';
    },
    maxBufferSize: LONGEST,
  });
  const read = function* (text: string) {
    parser.feed(text);
    if (tooLong) throw new ErrorInAnswer(readServerError('an event of the stream is too long'));
    for (const { event, data } of events.splice(0)) {
      if (data.trim() === '[DONE]') yield END;
      else if (event === 'error') throw new ErrorInAnswer(readServerError(parseBody(data)));
      else yield checked(parseBody(data));
    }
  };
  yield* read(begin);
  for await (const text of texts) yield* read(text);
  // Some servers leave out the last line end.
  yield* read('\n\n');
}

function checked(body: unknown): unknown {
  if (isServerError(body)) throw new ErrorInAnswer(readServerError(body));
  return body;
}

async function* textsOf(response: Response, onLife: () => void): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  for await (const bytes of response.body ?? []) {
    onLife();
    yield decoder.decode(bytes, { stream: true });
  }
}
