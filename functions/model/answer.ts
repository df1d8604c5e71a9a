/**
 * What is in the answer of a model server: pieces of a stream (`choices[0].delta`), or a completion as a whole
 * (`choices[0].message`). Beside its text, or in place of it, servers send a model's thoughts and calls of tools.
 */
import * as z from 'zod';
import { type Usage, usageSchema } from '../execution/execution.ts';
import { parseBody } from './server-words.ts';
import { hasCode } from './unfenced-text.ts';

export interface Piece {
  text: string;
  /** what the model thinks, where the server sends that apart */
  reasoning: string;
  calls: CallPiece[];
  finishReason: string | null;
  usage: Usage | null;
  /** Nothing follows it. */
  last: boolean;
}

interface CallPiece {
  index: number;
  name: string;
  arguments: string;
}

const text = z.string().catch('');
const callSchema = z
  .object({
    index: z.number().optional().catch(undefined),
    function: z.object({ name: text, arguments: z.unknown() }).optional().catch(undefined),
    custom: z.object({ name: text, input: z.unknown() }).optional().catch(undefined),
  })
  .catch({});
const messageSchema = z
  .object({
    content: z.unknown(),
    refusal: text,
    reasoning_content: z.unknown(),
    reasoning: z.unknown(),
    tool_calls: z.array(callSchema).catch([]),
    function_call: z.object({ name: text, arguments: z.unknown() }).optional().catch(undefined),
  })
  .partial()
  .catch({});
const choiceSchema = z.object({
  delta: messageSchema.optional(),
  message: messageSchema.optional(),
  text: text.optional(),
  finish_reason: z.string().nullish().catch(null),
});
const answerSchema = z.object({
  choices: z.array(choiceSchema.catch({})).optional().catch(undefined),
  usage: usageSchema.nullish().catch(null),
});

/** Oddities of servers read as nothing. */
export function readAnswer(body: unknown): Piece {
  const { choices, usage = null } = answerSchema.catch({}).parse(body);
  // Azure begins with a chunk without choices; the usage comes in one, too.
  const choice = choices?.[0];
  const message = choice?.delta ?? choice?.message ?? {};
  const { function_call, tool_calls = [] } = message;
  const calls = tool_calls.map((call, position) => ({
    index: call.index ?? position,
    name: call.function?.name ?? call.custom?.name ?? '',
    arguments: asText(call.function?.arguments ?? call.custom?.input),
  }));
  if (function_call)
    calls.push({ index: 0, name: function_call.name, arguments: asText(function_call.arguments) });
  return {
    text: partsOf(message.content).text || message.refusal || choice?.text || '',
    reasoning:
      all(partsOf(message.reasoning_content)) ||
      all(partsOf(message.reasoning)) ||
      partsOf(message.content).thoughts,
    calls,
    finishReason: choice?.finish_reason || null,
    usage,
    last: Boolean(choice?.finish_reason) || (choices?.length === 0 && usage !== null),
  };
}

interface Parts {
  text: string;
  thoughts: string;
}

/** Of a text, or of a list of parts, some of which may be thoughts. */
function partsOf(content: unknown): Parts {
  if (typeof content === 'string') return { text: content, thoughts: '' };
  const parts = Array.isArray(content) ? content.map(partOf) : [];
  return {
    text: parts.map(({ text }) => text).join(''),
    thoughts: parts.map(({ thoughts }) => thoughts).join(''),
  };
}

const all = ({ text, thoughts }: Parts) => thoughts + text;

const partSchema = z
  .object({
    type: text,
    text: z.union([z.string(), z.object({ value: z.string() }).transform(({ value }) => value)]).catch(''),
    thinking: z.union([z.string(), z.array(z.object({ text }))]).catch(''),
  })
  .catch({ type: '', text: '', thinking: '' });

function partOf(part: unknown): Parts {
  if (typeof part === 'string') return { text: part, thoughts: '' };
  const { type, text, thinking } = partSchema.parse(part);
  const thoughts = typeof thinking === 'string' ? thinking : thinking.map(({ text }) => text).join('');
  return /think|reason/.test(type) ? { text: '', thoughts: thoughts || text } : { text, thoughts };
}

const asText = (value: unknown): string =>
  typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value);

/** An answer as its pieces come. */
export class Answer {
  text = '';
  #reasoning = '';
  readonly #calls = new Map<number, { name: string; arguments: string }>();

  /** Characters, of all that came. */
  length = 0;

  add({ text, reasoning, calls }: Piece): void {
    this.text += text;
    this.#reasoning += reasoning;
    this.length += text.length + reasoning.length;
    for (const { index, name, arguments: more } of calls) {
      const call = this.#calls.get(index) ?? { name: '', arguments: '' };
      this.#calls.set(index, { name: call.name || name, arguments: call.arguments + more });
      this.length += more.length;
    }
  }

  /** The reply as a text: with the programs that stand in calls of tools, or with what else came if it holds none. */
  whole(): string {
    const calls = [...this.#calls.values()];
    const programs = calls.flatMap((call) => programIn(call.arguments) ?? []);
    if (programs.length > 0) return [this.text, ...programs.map(asBlock)].filter(Boolean).join('\n\n');
    if (this.text.trim() !== '') return this.text;
    if (this.#reasoning.trim() !== '') return this.#reasoning;
    return calls
      .map((call) => `The model called the tool "${call.name}" with ${call.arguments.replace(/\s+/g, ' ')}.`)
      .join('\n');
  }
}

const NAMES_OF_CODE = /^(?:(?:python|py|source)?_?(?:code|source|script|program)|python)$/i;

/** The program in a tool's arguments: a JSON object with a text named `code` or the like, or the program itself. */
function programIn(argumentsText: string): string | null {
  const value = parseBody(argumentsText);
  if (typeof value === 'string') return looksLikeProgram(value) ? value : null;
  if (typeof value !== 'object' || value === null) return null;
  const texts = Object.entries(value).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  const code =
    texts.find(([name]) => NAMES_OF_CODE.test(name)) ?? texts.find(([, text]) => looksLikeProgram(text));
  return code?.[1] ?? null;
}

const looksLikeProgram = (text: string) => !/^\s*[[{]/.test(text) && hasCode(text.split('\n'));

function asBlock(program: string): string {
  if (/^\s*(?:```|~~~)/m.test(program)) return program;
  return `\`\`\`python\n${program}\n\`\`\``;
}
