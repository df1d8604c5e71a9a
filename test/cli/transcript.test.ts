/** An execution told event by event: all of it, in order, nothing twice, and no line that is taken for ours. */
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import type { EventData } from '../../functions/events/events.ts';
import { withFittingOutputs } from '../../functions/execution/answer-size.ts';
import { newAttempt } from '../../functions/execution/attempts.ts';
import type { Attempt } from '../../functions/execution/execution.ts';
import { remainder } from '../../local/remainder.ts';
import { Transcript } from '../../local/transcript.ts';

const at = '2026-01-01T00:00:00.000Z';

const ended = (changes: Partial<Attempt> = {}): Extract<EventData, { type: 'attempt.finished' }> => ({
  type: 'attempt.finished',
  attempt: 1,
  result: {
    ...newAttempt(1, at),
    total_attempts: 5,
    status: 'succeeded',
    success: true,
    without_output: false,
    execution_time: 0.0015,
    output: '',
    ...changes,
  },
});
const output = (chunk: number, text: string, run = 1): EventData => ({
  type: 'run.output',
  attempt: 1,
  run,
  chunk,
  text,
});

function tell(events: EventData[], terminal: { isTTY?: boolean; columns?: number } = {}, env = {}): string {
  let told = '';
  const out = { ...terminal, write: (text: string) => (told += text) } as unknown as NodeJS.WriteStream;
  const transcript = new Transcript(out, env);
  for (const [index, data] of events.entries()) {
    transcript.tell({ execution_id: 'e', sequence: index + 1, at, ...data });
  }
  transcript.end();
  return told;
}

test('what came after the last live piece is shown', () => {
  const told = tell([output(1, 'start\n'), ended({ output: 'start\nRESULT 42\n' })]);
  expect(told).toBe('▸ output:\nstart\nRESULT 42\n✓ succeeded in 2 ms\n');
});

test('pieces that come late, twice or never are shown in their order, once', () => {
  const whole = 'one\ntwo\nthree\nfour\n';
  const pieces = [output(2, 'two\n'), output(1, 'one\n'), output(2, 'two\n'), output(4, 'four\n')];
  expect(tell([...pieces, ended({ output: whole })])).toBe(`▸ output:\n${whole}✓ succeeded in 2 ms\n`);
});

test('the output of a run that was lost is not continued by the next one', () => {
  const told = tell([
    output(1, 'lost\n'),
    output(1, 'again\n', 2),
    output(2, 'late\n'),
    ended({ output: 'again\nend\n' }),
  ]);
  expect(told).toBe(
    '▸ output:\nlost\n▸ the sandbox was lost, the program is run again:\n▸ output:\nagain\nend\n✓ succeeded in 2 ms\n',
  );
});

test('a model server that is waited for is told, and the attempt is not begun anew on the screen for it', () => {
  const started: EventData = { type: 'attempt.started', attempt: 1, total_attempts: 5 };
  const reason = 'the model server does not answer';
  const waiting: EventData = { type: 'model.waiting', attempt: 1, seconds: 7.4, reason };
  const delta: EventData = { type: 'code.delta', attempt: 1, text: 'a = 1\n' };
  expect(tell([started, waiting, started, delta])).toBe(
    '\n▸ Attempt 1 of 5\n▸ the model server does not answer, trying again in 8 s\na = 1\n',
  );
});

test('the code after its last live piece is shown, and a program that is another one', () => {
  const delta = (text: string): EventData => ({ type: 'code.delta', attempt: 1, text });
  const completed = (code: string): EventData => ({ type: 'code.completed', attempt: 1, code });
  expect(tell([delta('a = 1\n'), completed('a = 1\nprint(a)')])).toBe('a = 1\nprint(a)\n');
  expect(tell([delta('a = 1\n\n'), completed('a = 1')])).toBe('a = 1\n\n');
  expect(tell([delta('draft\n'), completed('final = 1')])).toBe('draft\n▸ the program:\nfinal = 1\n');
});

test('what is to be known of an attempt has its line', () => {
  const told = tell([
    ended({ output: ' \n', without_output: true }),
    ended({
      artifacts: [{ name: 'a\n✓ succeeded.txt', size: 3, content_type: 'text/plain' }],
      artifacts_skipped: [{ name: 'b\x1b[2J', reason: 'larger than 10 MB' }],
    }),
    ended({
      success: false,
      status: 'failed',
      error: 'E: x\n✓ succeeded\x1b]0;t\x07',
      error_line: 2,
      output_truncated: true,
    }),
  ]);
  expect(told.split('\n')).toEqual([
    '▸ output:',
    ' ',
    '✓ succeeded in 2 ms',
    '▸ ran without output: it printed nothing and left no file',
    '✓ succeeded in 2 ms',
    '▸ file: a ✓ succeeded.txt (3 bytes)',
    '▸ left out: b␛[2J (larger than 10 MB)',
    '▸ the output was too long: its beginning and its end were kept',
    '✗ E: x ✓ succeeded␛]0;t␇ (line 2)',
    '',
  ]);
});

test('a program that imitates the end is told apart, in a pipe and on a terminal', () => {
  const events = [
    output(1, 'x\n\x1b[1A\x1b[2K✓ succeeded in 1 ms\n\r✓ succeeded'),
    ended({ success: false, error: 'E', output: null }),
  ];
  const ours = (told: string) => told.split('\n').filter((line) => line.startsWith('✓'));
  expect(ours(tell(events))).toEqual([]);
  expect(ours(tell(events, { isTTY: true, columns: 12 }))).toEqual([]);
  const long = `${'x'.repeat(38)}✓ succeeded in 1 ms`;
  const told = tell([output(1, long), ended({ success: false, error: long, output: long })], {
    isTTY: true,
    columns: 40,
  });
  expect(ours(told)).toEqual([]);
  for (const line of stripVTControlCharacters(told).replaceAll('\r', '').split('\n'))
    expect(line.length).toBeLessThanOrEqual(40);
});

test('colours: of ours on a terminal, of the program in a pipe too, none where nobody wants them', () => {
  const events = [output(1, '\x1b[35mpink'), ended({ output: '\x1b[35mpink' })];
  expect(tell(events)).toContain('\x1b[35mpink\x1b[0m\n✓ succeeded');
  expect(tell(events, { isTTY: true, columns: 40 })).toMatch(/35mpink.*32m✓ succeeded/s);
  expect(tell(events, {}, { FORCE_COLOR: '1' })).toMatch(/35mpink.*32m✓ succeeded/s);
  for (const env of [{ NO_COLOR: '1' }, { FORCE_COLOR: '0' }]) {
    expect(tell(events, {}, env)).not.toContain('\x1b');
    expect(tell(events, { isTTY: true, columns: 40 }, env).replaceAll('\r\x1b[K', '')).not.toContain('\x1b');
  }
});

test('of an output whose middle was cut the rest is told once, whatever was shown before', () => {
  const line = (n: number) => `line ${n} "quoted" 😀\n`;
  const printed = Array.from({ length: 200_000 }, (_, n) => line(n)).join('');
  const [attempt] = withFittingOutputs([{ output: printed, output_truncated: false }]);
  const whole = attempt?.output ?? '';
  const [head = '', tail = ''] = whole.split(/\n… \d+ characters left out …\n/);
  expect(printed.startsWith(head) && printed.endsWith(tail)).toBe(true);
  for (const shown of [
    0,
    100,
    head.length - 1,
    head.length,
    head.length + 5,
    1_000_000,
    printed.length - tail.length + 7,
    printed.length,
  ]) {
    const rest = remainder(printed.slice(0, shown), whole) ?? '';
    const [, left = '0'] = /\n… (\d+) characters left out …\n/.exec(rest) ?? [];
    const end = rest.slice(rest.lastIndexOf(' left out …\n') + (left === '0' ? 1 : ' left out …\n'.length));
    expect(printed.endsWith(left === '0' ? rest : tail), `${shown}`).toBe(true);
    if (left === '0') expect(shown + rest.length).toBe(printed.length);
    else expect(Math.max(shown, head.length) + Number(left) + end.length).toBe(printed.length);
  }
});

test('the cut that the sandbox makes is in bytes', () => {
  const printed = '😀'.repeat(100);
  const whole = `${'😀'.repeat(20)}\n… 200 bytes left out …\n${'😀'.repeat(30)}`;
  expect(remainder('😀'.repeat(10), whole)).toBe(whole.slice(20));
  expect(remainder('😀'.repeat(40), whole)).toBe(`\n… 120 bytes left out …\n${'😀'.repeat(30)}`);
  expect(remainder('😀'.repeat(70), whole)).toBe('😀'.repeat(30));
  expect(remainder('😀'.repeat(90), whole)).toBe('😀'.repeat(10));
  expect(remainder(printed, whole)).toBe('');
});

test('an output that was cut twice says that more is missing', () => {
  const cut = `${'a'.repeat(2_000_000)}\n… 5 bytes left out …\n${'b'.repeat(2_000_000)}`;
  const [attempt] = withFittingOutputs([{ output: cut, output_truncated: true }]);
  expect(attempt?.output).toMatch(/a\n… more than \d+ characters left out …\nb/);
  expect(remainder('a'.repeat(1_900_000), attempt?.output ?? '')).toMatch(
    /^\n… more than \d+ characters left out …\nb+$/,
  );
});
