/** Replies as models of all kinds send them: what is the program in them, also while they are written. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CodeStream, extractCode } from '../../functions/model/extract-code.ts';

const FENCE = '```';
/** In these replies ''' stands for a fence of backticks. */
const reply = (text: string) => text.replaceAll("'''", FENCE);
const extract = (text: string, finishReason: string | null = 'stop') =>
  extractCode(reply(text), finishReason);

function stream(text: string, size: number): string {
  const reader = new CodeStream();
  let shown = '';
  for (let at = 0; at < text.length; at += size) shown += reader.push(text.slice(at, at + size));
  return shown;
}

/** The program is found, in the whole reply and in its stream, however that is cut into pieces. */
function expectProgram(text: string, code: string): void {
  expect(extract(text)).toEqual({ code });
  for (const size of [1, 3, 1_000]) expect(stream(`${reply(text)}\n`, size).trimEnd()).toBe(code.trimEnd());
}

describe('a reply without a fence', () => {
  it.each([
    'for n in nums: print(n)',
    'if __name__ == "__main__": main()',
    'while n: n -= 1',
    'else: print(1)',
    'try: print(n)',
    'except ValueError: pass',
    'finally: print("end")',
    'with open("a") as file: print(file)',
    'async with lock: pass',
    'async def main(): pass',
    'class Empty: pass',
    '@cache',
    'x = 1; y = 2',
    'x: int = 3',
    'x += 1',
    'a, *b = c',
    'd["key"] = [1, 2]',
    'print(n)',
    'print("It\'s done.")  # isn\'t it?',
    'print("""one""")',
    'print (n)',
    'print "n"',
    'nums.sort()',
    'await main()',
    '(n := 3)',
    '[print(n) for n in nums]',
    'lambda: 0',
    'square = lambda x: x * x',
    'assert n == 1, "no"',
    'raise SystemExit',
    'del nums',
    'global n',
    'return n',
    'yield n',
    'pass',
    '...',
    'n',
    'n + 1',
    'n if n else None',
    'not n',
    '-n',
    '"a string"',
    '"a" "b"',
    'match n:',
    'type Number = int',
    'import math, re',
    'from math import (pi, e)',
    ']',
    '])',
    '}',
    ')',
    '# a comment, which says that all is well.',
    '结果 = 3',
    'print(结果)',
    '!pip install numpy',
    '%matplotlib inline',
    'retrun total',
    'if n = 1:',
    'for i in range(3) print(i)',
    'form math import sqrt',
    'whlie not done:',
    'For i in range(3):',
    'x = 5 apples',
  ])('keeps its first and its last line: %s', (line) => {
    const body = 'nums = [1, 2]\nprint(nums)';
    expect(extract(`${body}\n${line}`)).toEqual({ code: `${body}\n${line}` });
    expect(extract(`${line}\n${body}`)).toEqual({ code: `${line}\n${body}` });
    expect(extract(`Here is the code:\n\n${body}\n${line}\n\nIt prints the numbers.`)).toEqual({
      code: `${body}\n${line}`,
    });
  });

  it.each([
    [
      'a docstring that reads like prose',
      '"""Numbers.\n\nThis prints the numbers.\nNote: it is short.\n"""\nprint(1)',
    ],
    ['such a string at its end', 'print(1)\n"""\nThis printed one.\n"""'],
    ['such a string in its midst', 'text = """\nDear reader,\n\nAll is well.\n"""\nprint(text)'],
    ['a bracket over lines', 'nums = [\n1,\n2,\n]\nprint(\nnums\n)'],
    ['a string in brackets that reads like prose', 'print(\n"All is well. "\n"The end."\n)'],
    ['a continued line', 'total = 1 + \\\n2\nprint(total)'],
    ['a header with its body below', 'if True:\n    print(1)\nelse:\n    print(2)'],
    ['a comment between', '# First, the import:\nimport math\n# Then the rest.\nprint(math.pi)'],
    ['fences in a string', `text = """\n${FENCE}\nx\n${FENCE}\n"""\nprint(text)`],
    ['a stop token in a string', 'print("<|im_end|>")\nprint("</s>")\nprint("[/INST]", "<think>")'],
    [
      'a stop token at the end of a line of a string',
      'text = """<|im_start|>user\nHi<|im_end|>\n</s>\n"""\nprint(text)',
    ],
  ])('is a program with %s', (_, code) => {
    expectProgram(code, code);
    expectProgram(`Sure! Here is the program:\n\n${code}\n\nThis program does what was asked.`, code);
  });

  const code = 'nums = [1, 2]\n\nfor n in nums: print(n)';
  it.each([
    'Here is the code:',
    'here is the code:',
    "Sure, here's a program that prints numbers:",
    'Certainly!',
    'Of course! Below is the solution.',
    '**Solution**',
    '1. The program:',
    'Hier ist das Programm:',
    'Voici le programme :',
    'Вот программа:',
    '以下是代码：',
    'コードは次のとおりです。',
    '다음은 코드입니다:',
    'إليك البرنامج:',
    'python',
    '<|im_start|>assistant',
    '<|start_header_id|>assistant<|end_header_id|>\n',
    '<start_of_turn>model',
    '<s>',
    '<answer>',
    '[/INST]',
  ])('has this before the code: %s', (line) => {
    expectProgram(`${line}\n${code}`, code);
    expectProgram(`${line}\n\n${code}`, code);
  });

  it.each([
    'This prints the numbers.',
    'This prints the numbers',
    'Note: this prints 1 and 2.',
    'Explanation:\n- `nums` is a list\n- The loop prints each number',
    'Explanation:\n1. First, a list is made.\n2. Then it is printed.\n   It has two items.',
    '**How it works**\n\nThe loop goes over `nums`.',
    '**Note:** it needs no input.',
    '---\nThe loop prints them one by one.',
    'Output:\n1\n2',
    "Output:\n'''\n1\n2\n'''",
    'The function print(n) writes one number; the time is O(n).',
    'Time complexity: O(n)',
    'For each number in the list, it prints the number.',
    'If you run it (with Python 3), it prints 1 and 2.',
    "It's simple, isn't it?",
    'Hope this helps! 😊',
    'Happy coding!',
    '| line | meaning |\n|---|---|\n| 1 | a list |',
    '> Remember to run it with Python 3.',
    'this program prints the numbers one by one.',
    'Dieses Programm gibt die Zahlen aus.',
    '¿Qué hace este código? Imprime números.',
    'Эта программа печатает числа',
    '这个程序打印数字。',
    '这个程序打印数字',
    'このプログラムは数字を表示します。',
    'यह प्रोग्राम संख्याएँ प्रिंट करता है।',
    '</answer>',
    '<|im_end|>',
    '<|im_end|>\n<|im_start|>user\nNow sort them.\n<|im_start|>assistant\nprint(sorted(nums))',
  ])('has this behind the code: %j', (text) => {
    expectProgram(`${code}\n\n${text}`, code);
    expectProgram(`Here it is:\n\n${code}\n\n${text}\n`, code);
  });

  it.each([
    ['between', 'x = 1\n\nThen print it:\n\nprint(x)', 'Then print it:'],
    [
      'between, twice',
      'x = 1\nThis is a number.\ny = 2\nThis is another one.\nprint(x, y)',
      'This is a number.',
    ],
    ['before a call', 'def f():\n    print(1)\n\nNow call the function:\n\nf()', 'Now call the function:'],
    ['a block between', "x = 1\n'''text\n1\n'''\nprint(x)", ''],
  ])('has prose in its midst: it is refused with the form that is wanted: %s', (_, text, prose) => {
    expect(extract(text)).toEqual({
      error: `It is not clear which lines of the reply are the program, as it stands in no fence and has prose in it ("${prose}"). Answer with the whole program in one \`\`\`python block.`,
    });
  });

  it('is never cut where it may be meant to be code', () => {
    for (const line of ['prnt main', 'main() main()', 'x = 1 y = 2', 'print(1) print(2)', 'Print (x)'])
      expect(extract(`print(0)\n${line}`)).toEqual({ code: `print(0)\n${line}` });
  });
});

it('real programs lose nothing, with a fence and without', () => {
  const folder = new URL('../../sandbox-image/', import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.py'),
  );
  expect(files.length).toBeGreaterThan(20);
  for (const file of files) {
    const code = readFileSync(new URL(file, folder), 'utf8').trim();
    // A module of nothing but a docstring is no program.
    if (code.length > 60_000 || !/^(?:import|from) /m.test(code)) continue;
    expect(extractCode(code, 'stop')).toEqual({ code });
    expect(extractCode(`Here it is:\n\n${code}\n\nIt does what was asked.`, 'stop')).toEqual({ code });
    const fenced = `${FENCE}python\n${code}\n${FENCE}\nDone.`;
    expect(extractCode(fenced, 'stop')).toEqual({ code });
    expect(stream(fenced, 50).trimEnd()).toBe(code);
  }
});

describe('remains of a chat template', () => {
  const code = 'x = 1\nprint(x < 2, [x][0], x)';
  it.each([
    '<|im_end|>',
    '</s>',
    '<|eot_id|>',
    '<|end_of_text|>',
    '<|endoftext|>',
    '<end_of_turn>',
    '<eos>',
    '<|end|>',
    '<|EOT|>',
    '<|return|>',
    '<|eom_id|>',
    '<|END_OF_TURN_TOKEN|>',
    '<｜end▁of▁sentence｜>',
    '<|endofassistant|>',
    '[/INST]',
    '[end of text]',
    '</s><|im_end|>',
    '<|im_end|> <|endoftext|>',
  ])('are no code and take none with them: %s', (token) => {
    expectProgram(`'''python\n${code}\n'''${token}`, code);
    expectProgram(`'''python\n${code}\n''' ${token}\n`, code);
    expectProgram(`'''python\n${code}\n'''\n${token}`, code);
    expectProgram(`'''python\n${code}\n'''\nDone.${token}`, code);
    expectProgram(`'''python\n${code}${token}\n'''`, code);
    expectProgram(`'''python\n${code}\n${token}\n'''`, code);
    expectProgram(`'''python\n${code}'''${token}`, code);
    expectProgram(`'''python\n${code}\n${token}`, code);
    expectProgram(`${code}${token}`, code);
    expectProgram(`${code}\n${token}`, code);
    expectProgram(`${code}\n\nThis prints it.${token}`, code);
    expectProgram(`'''python\nprint("a ${token} b")\n'''`, `print("a ${token} b")`);
    const inText = `text = """\nHi ${token}\n${token}\n"""\nprint(text)`;
    expectProgram(`'''python\n${inText}\n'''${token}`, inText);
  });

  it('before the answer do no harm', () => {
    for (const begin of [
      '<|im_start|>assistant\n',
      '<|assistant|>',
      '<answer>',
      '<s> ',
      '<|start_header_id|>assistant<|end_header_id|>\n\n',
    ])
      expectProgram(`${begin}'''python\n${code}\n'''\n</answer>`, code);
  });

  it('end the answer where the model goes on with the next question', () => {
    for (const turn of [
      '<|im_start|>user',
      '<|user|>',
      '<start_of_turn>user',
      '<|start_header_id|>user<|end_header_id|>',
    ])
      expectProgram(`'''python\n${code}\n'''<|x|>\n${turn}\nMore!\n'''python\nprint(2)\n'''`, code);
  });
});

describe('closing fences', () => {
  const code = 'x = 1\nprint(x)';
  it.each([
    ['with prose behind it', "''' This prints one."],
    ['with prose right behind it', "'''This prints one."],
    ['with more marks', "'''''"],
    ['on the line of the code', ''],
  ])('%s', (_, end) => {
    expectProgram(`'''python\n${code}${end && '\n'}${end || "'''"}\nMore prose.`, code);
  });

  it('left out before the next block', () => {
    expect(extract("'''python\nx = 1\n'''python\nx = 2\nprint(x)\n'''")).toEqual({ code: 'x = 2\nprint(x)' });
  });

  it.each([
    "'''main.py",
    "'''src/main.py",
    "'''Main.PY",
    "'''python:main.py",
    "'''python main.py",
    `'''title="main.py"`,
    "'''{python}",
    "'''{.python .line}",
    "'''python3.13",
    "'''ipython",
    "'''python {cmd=true}",
    "'''python,linenos",
  ])('are those of Python: %s', (begin) => {
    expectProgram(`${begin}\n${code}\n'''`, code);
  });
});

describe('thoughts', () => {
  const draft =
    "Let me try:\n'''python\nfor i in range(8):\n    a = i\n    b = a\n    c = b\n    print(a, b, c)\nprint('draft')\n'''\nor\n'''python\nprint('second draft'";
  const code = 'x = 3\nprint(x)';
  const answer = `'''python\n${code}\n'''`;

  it.each([
    ['<think>', '</think>'],
    ['<thinking>', '</thinking>'],
    ['<thought>', '</thought>'],
    ['<reasoning>', '</reasoning>'],
    ['<reflection>', '</reflection>'],
    ['<seed:think>', '</seed:think>'],
    ['<longcat_think>', '</longcat_think>'],
    ['[THINK]', '[/THINK]'],
    ['◁think▷', '◁/think▷'],
    ['<|START_THINKING|>', '<|END_THINKING|>'],
    ['<|begin_of_thought|>', '<|end_of_thought|>'],
    ['<|inner_prefix|>', '<|inner_suffix|>'],
    ['<|channel>thought', '<channel|>'],
    ['<|channel|>analysis<|message|>', '<|end|><|start|>assistant<|channel|>final<|message|>'],
    [
      '<|start|>assistant<|channel|>analysis<|message|>',
      '<|end|>\n<|start|>assistant<|channel|>final<|message|>',
    ],
    ['<|channel|>commentary<|message|>', '<|channel|>final<|message|>'],
    ['Here is my thought process:', 'Here is my response:'],
    ['analysisWe want a program.', 'assistantfinal'],
  ])('between %s and %s are no answer', (begin, end) => {
    expectProgram(`${begin}${draft}${end}${answer}`, code);
    expectProgram(`${begin}\n${draft}\n${end}\n\n${answer}`, code);
    expectProgram(`${begin}\n${draft}\n${end}\n\n${code}`, code);
  });

  it.each([
    '</think>',
    '</thinking>',
    '[/THINK]',
    '◁/think▷',
    '</seed:think>',
    '<|END_THINKING|>',
    '<|channel|>final<|message|>',
  ])('whose begin was left out end at %s', (end) => {
    expect(extract(`${draft}\n${end}\n${answer}`)).toEqual({ code });
    expect(extract(`Let me think. ${end}${answer}`)).toEqual({ code });
    expect(extract(`x = 0\nprint(x)\n${end}\n${code}`)).toEqual({ code });
  });

  it.each(['<think>', '[THINK]', '◁think▷', '<seed:think>', '<|channel|>analysis<|message|>'])(
    'that never end hold the program: %s',
    (begin) => {
      expect(extract(`${begin}Let me write it.\n'''python\nprint(1)\n'''\nNo:\n${answer}`)).toEqual({ code });
      expect(extract(`${begin}\n${code}`)).toEqual({ code });
      expect(extract(`${begin}\n${code}`, 'length')).toMatchObject({
        error: expect.stringContaining('cut off'),
      });
    },
  );

  it('alone are told', () => {
    expect(extract('[THINK]I wonder.[/THINK]')).toEqual({
      error: "The reply holds no Python code, only the model's thoughts: I wonder.",
    });
  });
});

describe('the reason why a reply ended', () => {
  const cut = "cut off at the model's length limit";
  const closed = "'''python\nprint(1)\n'''";
  const reasons: [string, string[]][] = [
    [
      cut,
      'length LENGTH MAX_TOKENS max_tokens max_output_tokens max_new_tokens length_limit model_length max_length token_limit FinishReason.MAX_TOKENS model_context_window_exceeded incomplete truncated'.split(
        ' ',
      ),
    ],
    [
      'content filter stopped',
      'content_filter SAFETY RECITATION refusal BLOCKLIST PROHIBITED_CONTENT SPII content_filtered guardrail_intervened sensitive'.split(
        ' ',
      ),
    ],
    [
      'may not be whole',
      'error abort network_error insufficient_system_resource MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL OTHER something'.split(
        ' ',
      ),
    ],
  ];

  it.each(reasons.flatMap(([said, names]) => names.map((name) => [name, said])))('%s: %s', (reason, said) => {
    // What has no end of its own may have been cut off anywhere.
    for (const text of ['x = 1\nprint(x)', "'''python\nx = 1\nprint(x)"])
      expect(extract(text, reason)).toEqual({
        error: expect.stringContaining(said),
        code: 'x = 1\nprint(x)',
      });
    expect(extract('I cannot', reason)).toEqual({ error: expect.stringContaining(said) });
    expect(extract(closed, reason)).toEqual({ code: 'print(1)' });
  });

  it.each([
    'stop',
    'STOP',
    'eos',
    'eos_token',
    'end_turn',
    'stop_sequence',
    'tool_calls',
    'COMPLETE',
    'FinishReason.STOP',
    null,
  ])('%s: it is whole', (reason) => {
    expect(extract('x = 1\nprint(x)', reason)).toEqual({ code: 'x = 1\nprint(x)' });
  });
});
