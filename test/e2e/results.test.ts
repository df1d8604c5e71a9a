/** What a program leaves, from the sandbox to the API: files of any name, what is left out and why, and nothing at all. */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventSchema } from '../../functions/events/events.ts';
import type { Attempt } from '../../functions/execution/execution.ts';
import { CONTRACT_LIMITS, contract } from '../../functions/sandbox/contract.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';
import { runResult } from '../support/run-result.ts';

let product: Product;

beforeAll(async () => {
  product = await startProduct();
});
afterAll(() => product.close());

const bucket = () => process.env.BUCKET_NAME ?? '';

let number = 0;
async function run(code: string, request: object = {}): Promise<{ id: string; attempt: Attempt }> {
  const prompt = `Leave something ${++number}`;
  product.model.replyTo(prompt, python(code));
  const execution = await product.run({ prompt, policy: 'standard', max_retries: 1, ...request });
  const { final_result } = execution;
  if (!final_result) throw new Error(`no result: ${execution.error}`);
  return { id: execution.execution_id, attempt: final_result };
}

/** The content of a file and the name that a browser saves it under. */
async function download(id: string, name: string) {
  const query = new URLSearchParams({ name });
  const redirect = await product.call('GET', `/api/executions/${id}/artifacts/file?${query}`);
  expect(redirect.status, name).toBe(302);
  const file = await fetch(new URL(redirect.headers.get('location') ?? '', product.url));
  const disposition = file.headers.get('content-disposition') ?? '';
  const [, encoded = ''] = /filename\*=UTF-8''([\w.%!#$&+^`|~-]+)$/.exec(disposition) ?? [];
  return { text: await file.text(), savedAs: decodeURIComponent(encoded) };
}

test('an execution whose output is lost can be read all the same', async () => {
  const { id, attempt } = await run('print("a line " * 5_000)');
  expect(attempt.output?.length).toBeGreaterThan(30_000);
  const Key = `executions/${id}/attempts/1/output.txt`;
  await new S3Client().send(new DeleteObjectCommand({ Bucket: bucket(), Key }));
  const { final_result, ...execution } = await product.get(id);
  expect(execution).toMatchObject({ status: 'succeeded', results: [final_result] });
  expect(final_result).toEqual({ ...attempt, output: null });
});

/** S3 puts the name of a form's file in its place. */
const FORM_FILE = '$' + '{filename}';
const NAMES = [
  'data:text/x y,1',
  FORM_FILE,
  `a${FORM_FILE}b$.txt`,
  '100%.txt',
  '%2e%2e',
  'what?.txt',
  'a#b;c&d=e+f@g.txt',
];
NAMES.push(
  ' both ends ',
  "it's (1) *!~.txt",
  '"<>|^`{}[].txt',
  'ä €.txt',
  'A',
  'a',
  'e\u0301',
  '\u00e9',
  '日本/語 漢.txt',
);
NAMES.push(
  'מסמך.txt',
  '😀'.repeat(60),
  '漢'.repeat(80),
  'x.tar.gz',
  'no-type',
  'data.json',
  '...x'.replace('...', '-..'),
  'Ω\u0345',
);

describe('files', () => {
  test.each([NAMES.slice(0, 12), NAMES.slice(12)])(
    'of odd names are handed over and come back: %j …',
    async (...names) => {
      const code = `import os
for name in ${JSON.stringify(names)}:
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    with open(name, "w") as file:
        file.write(name)`;
      const { id, attempt } = await run(code);
      expect(attempt.artifacts_skipped).toEqual([]);
      expect(attempt.artifacts.map(({ name }) => name).sort()).toEqual([...names].sort());
      for (const name of names) {
        expect(await download(id, name)).toEqual({ text: name, savedAs: name.split('/').at(-1) });
      }
    },
  );

  test('whose names cannot be are left out, each with a word, and nothing else is lost', async () => {
    const bad = [
      'line\nbreak',
      'tab\t',
      'back\\slash',
      'esc\x1b[2J',
      'turned\u202e',
      'hidden\u200b',
      'del\x7f',
      'c1\x9b',
      'n'.repeat(201),
    ];
    const code = `import os
for name in ${JSON.stringify(bad)} + [b"\\xff\\xfe", "good.txt"]:
    with open(name, "w") as file:
        file.write("x")
os.symlink("good.txt", "link")
os.mkdir(".cache")
print("done")`;
    const { attempt } = await run(code);
    expect(attempt).toMatchObject({ status: 'succeeded', output: 'done\n', without_output: false });
    expect(attempt.artifacts.map(({ name }) => name)).toEqual(['good.txt']);
    expect(attempt.artifacts_skipped).toHaveLength(bad.length + 2);
    for (const { name, reason } of attempt.artifacts_skipped) {
      expect(name).toMatch(/^[^\p{Cc}\p{Cf}\p{Cs}]+$/u);
      expect(reason).toMatch(/^(its name (has characters|is longer)|not a regular file)/);
    }
  });

  test('beyond the limits are left out and told to the model, to followers and in the API', async () => {
    const code = `with open("huge.bin", "wb") as file:
    file.truncate(${CONTRACT_LIMITS.fileBytes + 1})
1 / 0`;
    const prompt = 'Leave too much';
    product.model.replyTo(prompt, python(code), python('print(1)'));
    const execution = await product.run({ prompt, policy: 'standard' });
    const skipped = [{ name: 'huge.bin', reason: 'larger than 10 MB' }];
    expect(execution.results[0]).toMatchObject({
      artifacts: [],
      artifacts_skipped: skipped,
      exit_code: 1,
      signal: null,
    });
    expect(execution.results[0]?.peak_memory_bytes).toBeGreaterThan(1_000_000);
    expect(product.model.requests.at(-1)?.text).toContain('huge.bin: larger than 10 MB');
    const { body } = await product.call<{ events: { type: string; result: Attempt }[] }>(
      'GET',
      `/api/executions/${execution.execution_id}/events?after=0`,
    );
    const [first] = body.events.filter(({ type }) => type === 'attempt.finished');
    expect(first?.result.artifacts_skipped).toEqual(skipped);
  });
});

describe('nothing to be seen', () => {
  const without = true;
  test.each([
    ['x = 1', {}, without],
    ['print(" \\n\\t\\u200b\\x1b[0m")', {}, without],
    ['print(0)', {}, !without],
    ['open("a", "w").close()', {}, !without],
    ['import os; os.symlink("a", "b")', {}, !without],
    ['x = 1', { tests: 'assert x == 1' }, !without],
    ['raise SystemExit(3)', {}, !without],
  ])('%j with %j', async (code, request, expected) => {
    const { attempt } = await run(code, request);
    expect(attempt.without_output).toBe(expected);
  });
});

test('what is printed in four-byte characters comes live as all else', async () => {
  const prompt = 'Print emoji';
  const text = '😀'.repeat(15_000);
  product.model.replyTo(
    prompt,
    python(`import time\nprint(${JSON.stringify('😀')} * 15_000, flush=True)\ntime.sleep(30)`),
  );
  const execution = await product.start({ prompt, policy: 'standard' });
  const follower = product.follow(execution);
  const event = await follower.seen(({ type }) => type === 'run.output');
  expect(event).toMatchObject({ text: expect.stringMatching(text.slice(0, 1000)) });
  await product.call('DELETE', `/api/executions/${execution.execution_id}`);
  await follower.ended;
  follower.close();
});

describe('the contract', () => {
  async function documents(prefix: string): Promise<[key: string, document: unknown][]> {
    const s3 = new S3Client();
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: bucket(), Prefix: prefix }));
    const keys = Contents.flatMap(({ Key = '' }) =>
      Key.endsWith('.json') && !Key.includes('/artifacts/') ? [Key] : [],
    );
    return Promise.all(
      keys.map(async (key): Promise<[string, unknown]> => {
        const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket(), Key: key }));
        return [key, JSON.parse((await Body?.transformToString()) ?? '')];
      }),
    );
  }

  test('describes each document that crossed the edge of a sandbox here, without an unknown field', async () => {
    await run('import time\nprint("x", flush=True)\ntime.sleep(0.7)\nopen("a.json", "w").write("{}")\n1 / 0');
    const kinds = new Set<string>();
    for (const [key, document] of [
      ...(await documents('manifests/')),
      ...(await documents('jobs/')),
      ...(await documents('mailbox/')),
    ]) {
      const [folder = '', , below = ''] = key.split('/');
      const kind = folder === 'mailbox' ? below.replace(/\.json$|s$/, '') : folder.slice(0, -1);
      const name =
        (kind === 'job' && Object.keys(document as object).find((field) => field === 'wake')) || kind;
      kinds.add(name);
      const schema = contract[name as keyof typeof contract];
      // A schema leaves out what it does not know.
      expect(schema.parse(document), key).toEqual(document);
    }
    expect([...kinds].sort()).toEqual(['job', 'manifest', 'output', 'ready', 'result', 'started']);
  });

  test('a result with bad files loses those, with a word, and no more', async () => {
    const { takeResult } = await import('../../functions/execution/collect.ts');
    const { nextAttempt } = await import('../../functions/execution/lifecycle.ts');
    const { artifactKey, jobId, resultKey } = await import('../../functions/sandbox/mailbox.ts');
    const store = await import('../support/store.ts');
    const { body } = await product.call<{ executions: { execution_id: string }[] }>(
      'GET',
      '/api/executions?limit=1',
    );
    const [last] = body.executions;
    const known = await store.getExecution(last?.execution_id ?? '');
    if (!known) throw new Error('no execution');
    await store.createExecution({
      ...known,
      execution_id: 'forged',
      status: 'queued',
      attempts: 0,
      finished_at: null,
    });
    const work = await store.openWork('forged');
    const begun = work && (await nextAttempt(work));
    if (!begun) throw new Error('no attempt');
    await store.moveAttempt(begun.attempt, 'checking');
    const waiting = await store.moveAttempt(begun.attempt, 'waiting', { sandbox_id: 'box' });
    const put = (Key: string, Body: string) =>
      new S3Client().send(new PutObjectCommand({ Bucket: bucket(), Key, Body }));
    const file = (name: unknown, content_type: unknown = 'text/plain') => ({ name, size: 1, content_type });
    await put(artifactKey('box', jobId(waiting), 'good.txt'), 'content');
    const artifacts = [
      file('good.txt'),
      file('good.txt'),
      file('gone.txt'),
      file('../up'),
      file('/etc/passwd'),
      file('a//b'),
      file('line\nbreak'),
      file('half \ud800'),
      file('x'.repeat(201)),
      file('bad type', 'text/x y'),
      file(5),
      file(null),
      null,
      'text',
      ...Array.from({ length: 60 }, (_, n) => file(`${n}.txt`)),
    ];
    const skipped = [{ name: 'ok', reason: 'a reason' }, { name: 'a\nb', reason: 'x' }, 7];
    const result = {
      ...runResult(jobId(waiting)),
      artifacts,
      artifacts_skipped: skipped,
      output: 'half \ud800',
      news: 1,
    };
    await put(resultKey('box', jobId(waiting)), JSON.stringify(result));
    expect(await takeResult(work, waiting)).toMatchObject({ next: 'finish' });
    const { results } = await product.get('forged');
    expect(results[0]).toMatchObject({ status: 'succeeded', output: 'half \ufffd' });
    expect(results[0]?.artifacts).toEqual([{ name: 'good.txt', size: 7, content_type: 'text/plain' }]);
    const reasons = Object.fromEntries(
      results[0]?.artifacts_skipped.map(({ name, reason }) => [name, reason]) ?? [],
    );
    expect(reasons).toMatchObject({
      ok: 'a reason',
      '../up': expect.stringMatching(/not allowed/),
      'line\ufffdbreak': expect.stringMatching(/not allowed/),
      '?': expect.stringMatching(/not allowed/),
      'good.txt': 'there is another of this name',
    });
    expect(results[0]?.artifacts_skipped.length).toBeLessThanOrEqual(CONTRACT_LIMITS.skipped);
  });

  test('events of an earlier version are read', () => {
    const attempt = {
      attempt: 1,
      total_attempts: 1,
      status: 'succeeded',
      success: true,
      code: null,
      output: '',
    };
    const nulls = { error: null, error_category: null, error_line: null, traceback: null, usage: null };
    const times = {
      started_at: '2026-01-01T00:00:00Z',
      generated_at: null,
      checked_at: null,
      run_started_at: null,
    };
    const result = { ...attempt, ...nulls, ...times, finished_at: null, execution_time: 1, artifacts: [] };
    const event = {
      execution_id: 'e',
      sequence: 1,
      at: '2026-01-01T00:00:00Z',
      type: 'attempt.finished',
      attempt: 1,
      result: { ...result, violations: [], output_truncated: false },
    };
    expect(eventSchema.parse(event)).toMatchObject({
      result: { artifacts_skipped: [], without_output: false },
    });
  });
});
