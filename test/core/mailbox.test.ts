/** What a sandbox sends is read or refused: no document, however it is made, ends who reads it. */
import { describe, expect, it } from 'vitest';
import type * as z from 'zod';
import { outputSchema, readySchema, receivedResultSchema } from '../../functions/sandbox/contract.ts';
import { parseMailboxKey, parseUpload } from '../../functions/sandbox/mailbox.ts';
import { MalformedUpload } from '../../functions/service/errors.ts';

const result = {
  job_id: 'e_1-1',
  success: false,
  error_category: 'exception',
  error: 'KeyError: 1',
  error_line: 1,
  traceback: null,
  locals: { x: '1' },
  violations: [],
  standard_permits: false,
  output: '',
  output_truncated: false,
  execution_time: 0.1,
  exit_code: 1,
  signal: null,
  peak_memory_bytes: 1,
  artifacts: [],
  artifacts_skipped: [],
};
const read = (text: string) => parseUpload(text, receivedResultSchema, 'key');

describe('a result', () => {
  it('is read', () => expect(read(JSON.stringify(result))).toEqual(result));

  it('has no half characters when it is stored, and no other escape is touched', () => {
    const { error, locals } = read(
      JSON.stringify({
        ...result,
        error: '\ud800 \udfff 😀 \\ud800 " \n',
        locals: { '\udc00': 'x\ud83d' },
      }),
    );
    expect(error).toBe('\ufffd \ufffd 😀 \\ud800 " \n');
    expect(locals).toEqual({ '\ufffd': 'x\ufffd' });
  });

  const many = (count: number, item: string) => `[${Array(count).fill(item).join(',')}]`;
  const withField = (name: string, value: string) =>
    JSON.stringify({ ...result, [name]: '@' }).replace('"@"', () => value);
  it.each([
    ['nothing', ''],
    ['no JSON', '{'],
    ['null', 'null'],
    ['a list', '[]'],
    ['a number beyond all', withField('execution_time', '1e999')],
    ['digits without end', withField('error_line', '9'.repeat(100_000))],
    ['lists within lists', withField('error', `${'['.repeat(200_000)}${']'.repeat(200_000)}`)],
    ['objects within objects', withField('locals', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`)],
    ['a million violations', withField('violations', many(1_000_000, '0'))],
    ['a million files', withField('artifacts', many(1_000_000, '0'))],
    [
      'a hundred thousand values',
      withField('locals', `{${Array.from({ length: 100_000 }, (_, n) => `"${n}":0`).join(',')}}`),
    ],
    ['a name that is empty', withField('locals', '{"": "x"}')],
    ['a text too long', withField('error', JSON.stringify('x'.repeat(3_000_000)))],
    ['an object for a text', withField('output', '{"toString": 1, "__proto__": null}')],
  ])('of %s is refused in a short sentence', (_, text) => {
    expect(() => read(text)).toThrow(MalformedUpload);
    try {
      read(text);
    } catch (error) {
      expect((error as Error).message.length).toBeLessThan(1_200);
    }
  });

  it('of any pieces is read or refused', () => {
    let state = 7;
    const random = (below: number) => {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      return state % below;
    };
    const values = ['0', '-1', '1e400', 'null', 'true', '""', '"\\ud800"', '"\\u0000"', '[]', '{}', '[[]]'];
    values.push(
      '{"__proto__": {"a": 1}}',
      '"x"',
      '[{"name": "../x"}]',
      '{"a": "b"}',
      '9007199254740993',
      'NaN',
    );
    for (let round = 0; round < 2_000; round++) {
      const names = [
        ...Object.keys(result),
        '__proto__',
        'constructor',
        'isolation',
        'packages',
        'chunk',
        'text',
      ];
      const fields = names
        .filter(() => random(3) > 0)
        .map((name) => `${JSON.stringify(name)}: ${values[random(values.length)]}`);
      const schemas: z.ZodType[] = [receivedResultSchema, readySchema, outputSchema];
      for (const schema of schemas) {
        try {
          parseUpload(`{${fields.join(',')}}`, schema, 'key');
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedUpload);
        }
      }
    }
  });
});

it('a key that is longer than any of ours is nobody’s', () => {
  expect(parseMailboxKey('mailbox/s/results/e_1-1.json')).toMatchObject({ kind: 'results' });
  expect(parseMailboxKey(`mailbox/s/results/${'e'.repeat(900)}_1-1.json`)).toBeNull();
  expect(parseMailboxKey(`mailbox/${'s'.repeat(900)}/ready.json`)).toBeNull();
});
