/** Uploads by an HTML form: multipart/form-data with a signed policy that says what may be uploaded. */
import { clock } from './clock.ts';
import { AwsError } from './http.ts';

export interface UploadForm {
  /** The fields before the file, names in lower case; `${filename}` in the key is filled in. */
  fields: Map<string, string>;
  file: Buffer;
}

/** The largest policy, credential, key … that is looked at, in bytes. */
const MAX_FIELD = 20_000;

/** Throws MalformedPOSTRequest where the body is not such a form or has no file. Fields after the file are ignored. */
export function parseUploadForm(contentType: string, body: Buffer): UploadForm {
  const malformed = (detail: string) =>
    new AwsError('MalformedPOSTRequest', `The body of your POST request is not well-formed: ${detail}.`);
  const boundary = /^multipart\/form-data\s*;.*?\bboundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType);
  if (!boundary) throw malformed('the content type names no boundary');
  const delimiter = Buffer.from(`--${boundary[1] ?? boundary[2]}`);
  const fields = new Map<string, string>();
  let position = body.indexOf(delimiter);
  while (position >= 0) {
    const start = position + delimiter.length + 2;
    const headersEnd = body.indexOf('\r\n\r\n', start);
    const end = body.indexOf(`\r\n${delimiter}`, start - 2);
    if (headersEnd < 0 || end < headersEnd) break;
    const headers = body.toString('utf8', start, headersEnd);
    const name = /^content-disposition:.*[;\s]name="([^"]*)"/im.exec(headers)?.[1]?.toLowerCase();
    if (name === undefined) throw malformed('a part has no name');
    const value = body.subarray(headersEnd + 4, end);
    if (name === 'file') {
      const filename = /^content-disposition:.*[;\s]filename="([^"]*)"/im.exec(headers)?.[1] ?? '';
      const key = fields.get('key');
      if (key)
        fields.set(
          'key',
          key.replace(/\$\{filename\}/g, () => filename),
        );
      return { fields, file: value };
    }
    if (value.length > MAX_FIELD) throw malformed(`the field ${name} is too long`);
    if (fields.has(name)) throw malformed(`the field ${name} is there twice`);
    fields.set(name, value.toString());
    position = end + 2;
  }
  throw new AwsError('InvalidArgument', 'POST requires exactly one file upload per request.');
}

type Conditions = (Record<string, unknown> | unknown[])[];

const denied = (detail: string) =>
  new AwsError('AccessDenied', `Invalid according to Policy: ${detail}`, 403);

/** Throws unless the policy (its signature is already checked) covers everything in the form and has not expired. */
export function checkPolicy({ fields, file }: UploadForm, bucket: string): void {
  const { expiration, conditions } = parsePolicy(fields.get('policy') ?? '');
  if (!clock.times().some((now) => now < Date.parse(expiration))) throw denied('Policy expired.');
  const values = new Map([...fields, ['bucket', bucket]]);
  const covered = new Set(['policy', 'x-amz-signature', 'file']);
  for (const condition of conditions) {
    const [operator, name, expected] = Array.isArray(condition)
      ? condition
      : ['eq', ...(Object.entries(condition)[0] ?? [])];
    const kind = String(operator).toLowerCase();
    if (kind === 'content-length-range') {
      checkSize(file.length, Number(name), Number(expected));
      continue;
    }
    const field = String(name).replace(/^\$/, '').toLowerCase();
    const value = values.get(field);
    const met =
      value !== undefined &&
      ((kind === 'eq' && value === expected) ||
        (kind === 'starts-with' && value.startsWith(String(expected))));
    if (!met) throw denied(`Policy Condition failed: ${JSON.stringify(condition)}`);
    covered.add(field);
  }
  const extra = [...values.keys()].filter((name) => !covered.has(name) && !name.startsWith('x-ignore-'));
  if (extra.length > 0) throw denied(`Extra input fields: ${extra.join(', ')}`);
}

function parsePolicy(text: string): { expiration: string; conditions: Conditions } {
  try {
    const policy = JSON.parse(Buffer.from(text, 'base64').toString());
    if (typeof policy.expiration === 'string' && Array.isArray(policy.conditions)) return policy;
  } catch {
    // Falls through to the one answer for everything that is not a policy.
  }
  throw new AwsError(
    'InvalidPolicyDocument',
    'The content of the form does not meet the conditions of a policy.',
  );
}

function checkSize(size: number, min: number, max: number): void {
  if (!(size <= max))
    throw new AwsError('EntityTooLarge', 'Your proposed upload exceeds the maximum allowed size');
  if (!(size >= min))
    throw new AwsError('EntityTooSmall', 'Your proposed upload is smaller than the minimum allowed size');
}
