/**
 * What a model server says is wrong, in whatever form it says so. OpenAI's is `{"error": {"message", "code", "param"}}`;
 * others send the message at the top, as a text, a list of faults, a page, or one inside of another.
 */

export interface ServerError {
  /** '' if the server said nothing */
  message: string;
  code: string | number | null;
  /** the parameter of the request that is to blame */
  param: string | null;
}

/** Where servers put their words, the most telling first. */
const WORDS = [
  'message',
  'detail',
  'details',
  'msg',
  'errors',
  'error_message',
  'error_msg',
  'error_description',
  'description',
  'reason',
  'title',
];
const DEEPEST = 6;
const LONGEST = 2_000;

/** `body`: parsed JSON, or text. */
export function readServerError(body: unknown): ServerError {
  return {
    message: wordsOf(body, 0).slice(0, LONGEST).trim(),
    code: find(body, ['code', 'status_code', 'http_status', 'status', 'type']),
    param: find(body, ['param'])?.toString() ?? locationOf(body),
  };
}

/** Whether what came in place of a chat completion, or of a piece of one, is an error. */
export function isServerError(body: unknown): boolean {
  if (!isObject(body)) return true;
  const { error, object, type, choices, usage } = body;
  if (error !== undefined && error !== null && error !== false && error !== '') return true;
  if (object === 'error' || type === 'error') return true;
  return choices === undefined && usage === undefined && WORDS.some((name) => body[name]);
}

/** JSON that is parsed, or else the text itself. */
export function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function wordsOf(body: unknown, depth: number): string {
  if (depth > DEEPEST || body === null || body === undefined) return '';
  if (typeof body === 'string') return wordsOfText(body);
  if (Array.isArray(body)) {
    const all = body.slice(0, 5).map((item: unknown) => wordsOf(item, depth + 1));
    return all.filter(Boolean).join('; ');
  }
  if (!isObject(body)) return '';
  const { error, metadata } = body;
  const found = WORDS.map((name) => wordsOf(body[name], depth + 1)).filter(Boolean);
  const own = [...new Set(found)][0] ?? '';
  const inner = wordsOf(error, depth + 1);
  // What the server behind a router said.
  const raw = isObject(metadata) ? wordsOf(metadata.raw, depth + 1) : '';
  const where = locationOf(body);
  const words = [inner, own, raw]
    .filter((text, index, all) => text && all.indexOf(text) === index)
    .join(': ');
  if (words) return where && !words.includes(where) ? `${where}: ${words}` : words;
  return depth === 0 && Object.keys(body).length > 0 ? JSON.stringify(body).slice(0, LONGEST) : '';
}

function wordsOfText(text: string): string {
  const trimmed = text.slice(0, 50_000).trim();
  if (/^[[{]/.test(trimmed)) {
    const parsed = parseBody(trimmed);
    if (typeof parsed === 'object') return wordsOf(parsed, 1) || trimmed;
  }
  if (!/^<(?:!doctype|html|head|body|\?xml)/i.test(trimmed)) return trimmed;
  const title = /<(?:title|h1)[^>]*>([^<]*)/i.exec(trimmed)?.[1]?.trim();
  return title || trimmed.replace(/<(script|style)[\s\S]*?<\/\1>|<[^>]*>/gi, ' ').trim();
}

/** Where pydantic found the fault: `["body", "stream_options"]` → `body.stream_options`. */
function locationOf(body: unknown): string | null {
  const loc = isObject(body) && Array.isArray(body.loc) ? body.loc : null;
  return loc && loc.length > 0 ? loc.slice(0, 10).join('.').slice(0, 200) : null;
}

/** The first of the fields in the error or around it that is a text or a number. */
function find(body: unknown, names: string[]): string | number | null {
  const places = Array.isArray(body) ? body.slice(0, 5) : [body];
  const objects = places.flatMap((place: unknown) =>
    isObject(place) ? [place.error, place.detail, place].filter(isObject) : [],
  );
  for (const name of names)
    for (const place of objects) {
      const value = place[name];
      if (typeof value === 'string' || typeof value === 'number') return value;
    }
  return null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
