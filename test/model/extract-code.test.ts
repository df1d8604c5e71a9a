import { describe, expect, it } from 'vitest';
import { CodeStream, extractCode } from '../../functions/model/extract-code.ts';

const FENCE = '```';
/** In these replies ''' stands for a fence of backticks. */
const reply = (text: string) => text.replaceAll("'''", FENCE);
function extract(text: string, finishReason: string | null = 'stop'): { code?: string; error?: string } {
  return extractCode(reply(text), finishReason);
}

describe('one program', () => {
  const program = 'def double(n: int) -> int:\n    return 2 * n\n\n\nprint(double(2))';

  it.each([
    ['in a fence', `'''python\n${program}\n'''`],
    ['with prose around', `Sure! Here it is:\n\n'''python\n${program}\n'''\n\nIt prints 4. Enjoy!`],
    ['py', `'''py\n${program}\n'''`],
    ['Python3', `'''Python3\n${program}\n'''`],
    ['a version', `'''python3.11\n${program}\n'''`],
    ['with a title', `'''python title="double.py"\n${program}\n'''`],
    ['Pandoc style', `'''{.python .numberLines}\n${program}\n'''`],
    ['tildes', `~~~python\n${program}\n~~~`],
    ['four marks', `\`'''python\n${program}\n'''\``],
    ['a closing fence with blanks', `'''python\n${program}\n'''  \n`],
    ['CRLF', `Here:\r\n'''python\r\n${program.replaceAll('\n', '\r\n')}\r\n'''\r\n`],
    ['a byte order mark', `\uFEFF'''python\n${program}\n'''`],
    ['in a list', `1. The program:\n\n   '''python\n${program.replace(/^(?=.)/gm, '   ')}\n   '''\n2. Done.`],
    ['after a list marker', `- '''python\n${program.replace(/^(?=.)/gm, '  ')}\n  '''`],
    ['after a sentence', `Here is the program: '''python\n${program}\n'''`],
    ['an end on the last line', `'''python\n${program}'''`],
    ['no language', `'''\n${program}\n'''`],
    ['as Markdown', `'''markdown\n# Double\n\n'''python\n${program}\n'''\n'''`],
    ['no fence', program],
    ['no fence, prose around', `Here is the program:\n\n${program}\n\nIt prints the double of two.`],
    ['no fence, indented', `Here is the program:\n\n${program.replace(/^(?=.)/gm, '    ')}\n`],
    ['beside a shell', `Install:\n'''bash\npip install double\n'''\nThen:\n'''python\n${program}\n'''`],
    ['beside its output', `'''python\n${program}\n'''\nOutput:\n'''\n4\n'''`],
    ['beside JSON', `'''json\n{"a": 1}\n'''\n'''python\n${program}\n'''\n'''text\n4\n'''`],
    ['after thoughts', `<think>\nI could use '''python\nprint(0)\n'''\n</think>\n'''python\n${program}\n'''`],
    [
      'after thoughts with an open fence',
      `<think>try '''python\nprint(0)</think>\n'''python\n${program}\n'''`,
    ],
    ['after thoughts on one line', `<thinking>easy</thinking>'''python\n${program}\n'''`],
    [
      'after thoughts that have no begin',
      `Let me try.\n'''python\nprint(0)\n'''\n</think>\n\n'''python\n${program}\n'''`,
    ],
    ['in thoughts that have no end', `<think>Let me write it.\n'''python\n${program}\n'''`],
    ['whole, the prose after it cut off', `'''python\n${program}\n'''\nThis prog`, 'length'],
    ['and a quoted line', `'''python\n${program}\n'''\nThe key is:\n'''python\nreturn 2 * n\n'''`],
    [
      'and a quotation before',
      `The heart is\n'''python\n    return 2 * n\n'''\nin\n'''python\n${program}\n'''`,
    ],
    ['and an unrelated output', `'''python\n${program}\n'''\nIt shows\n'''python\n4\n'''`],
    ['twice', `'''python\n${program}\n'''\nAgain:\n'''python\n${program}\n'''`],
  ])('%s', (_, text, finishReason = 'stop') => {
    expect(extract(text, finishReason)).toEqual({ code: program });
  });

  it('keeps the fences in its strings', () => {
    const code = `TEMPLATE = """
# Title
${FENCE}
inside
${FENCE}
${FENCE}python
print(1)
${FENCE}
"""
print(TEMPLATE, "${FENCE}")  # don't stop "here`;
    expect(extractCode(`${FENCE}python\n${code}\n${FENCE}\nDone.`, 'stop')).toEqual({ code });
  });

  it('ends at the first fence if a string never ends', () => {
    const text = `'''python\nprint("""never closed)\n'''\nThis prints. Also run\n'''bash\nls\n'''\n`;
    expect(extract(text)).toEqual({ code: 'print("""never closed)' });
  });

  it('keeps tags in its strings', () => {
    const code = 'text = "<think>a</think>"\nparts = """\n<think>\n</think>\n"""\nprint(text)';
    expect(extract(`'''python\n${code}\n'''`)).toEqual({ code });
  });

  it('keeps text that is indented less than its fence', () => {
    const text = `  '''python\n  if True:\n      print("""\nzero\n  """)\n  '''`;
    expect(extract(text)).toEqual({ code: 'if True:\n    print("""\nzero\n""")' });
  });
});

describe('several blocks', () => {
  it('are joined if they build on each other', () => {
    const text = `First:
'''python
import math

def area(radius):
    return math.pi * radius**2
'''
Then use it:
'''python
for radius in (1, 2):
    print(area(radius))
'''`;
    expect(extract(text)).toEqual({
      code: 'import math\n\ndef area(radius):\n    return math.pi * radius**2\n\nfor radius in (1, 2):\n    print(area(radius))',
    });
  });

  it('of which the later is a better version: the later counts', () => {
    const text = `A first version:
'''python
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
print(fib(30))
'''
That is slow. Better:
'''python
def fib(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
print(fib(30))
'''`;
    expect(extract(text)).toEqual({
      code: 'def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\nprint(fib(30))',
    });
  });

  it('of which the later shows only a change: the whole program counts', () => {
    const whole =
      'def greet(name):\n    print(f"Hello, {name}!")\n\nfor name in ["Ann", "Bob", "Cem"]:\n    greet(name)';
    const text = `'''python\n${whole}\n'''\nFor French:\n'''python\ndef greet(name):\n    print(f"Salut {name}")\n'''`;
    expect(extract(text)).toEqual({ code: whole });
  });

  const long =
    'import math\n\ndef area(r: float) -> float:\n    return math.pi * r**2\n\nr = 2\nprint(area(r))';

  it.each([
    ['shorter', 'total = 0\nfor number in range(10):\n    total += number\nprint(total)'],
    ['shorter, with names in common', 'import math\nr = float(2)\nprint(math.pi * r**2)'],
    ['shorter, of one line', 'print(sum(range(10)))'],
    ['shorter, with the name of a variable in a string', 'print("area", 3.14 * 4)'],
    ['shorter, with the same function', 'def area(r):\n    return 3 * r * r\nprint(area(2))'],
    [
      'with a parameter of that name',
      'def double(\n    r: int,\n) -> int:\n    return 2 * r\n\nprint(double(2))',
    ],
  ])('that are whole programs: the last one counts: %s', (_, last) => {
    expect(extract(`A draft:\n'''python\n${long}\n'''\nBetter:\n'''python\n${last}\n'''`)).toEqual({
      code: last,
    });
    expect(extract(`'''python\n${last}\n'''\nOr:\n'''python\n${long}\n'''`)).toEqual({ code: long });
  });

  it.each([
    ['a changed value', 'r = 5'],
    ['a changed function', 'def area(r: float) -> float:\n    return 3.14 * r**2'],
    ['a changed line of a function', '    return 3.14 * r**2'],
    ['a change, the rest left out', 'import math\n\n# ... the rest stays as it is\n\nprint(math.pi)'],
    ['a change, the rest left out by dots', 'def area(r):\n    return 3\n\n...\nprint(area(5))'],
    ['an output', "[1, 2, 3]\n'done'"],
    ['imports', 'import math\nfrom math import pi'],
    ['a session', '>>> area(2)\n12.56'],
  ])('of which the later is no program: %s', (_, snippet) => {
    const text = `'''python\n${long}\n'''\nNote:\n'''python\n${snippet}\n'''`;
    expect(extract(text)).toEqual({ code: long });
  });

  it('of which the later only uses the earlier: they are joined', () => {
    const definition = 'def area(r):\n    return 3 * r * r';
    for (const use of ['print(area(2))', 'print(f"{area(2)} m²")', 'shown = area(3)\nprint(shown)'])
      expect(extract(`'''python\n${definition}\n'''\nUse it:\n'''python\n${use}\n'''`)).toEqual({
        code: `${definition}\n\n${use}`,
      });
  });

  it.each([
    ['in their marks', "'''utils.py\nx = 1\n'''\n'''main.py\nfrom utils import x\nprint(x)\n'''"],
    ['behind the language', "'''python utils.py\nx = 1\n'''\n'''python main.py\nprint(1)\n'''"],
    ['in titles', `'''python title="utils.py"\nx = 1\n'''\n'''python title="src/main.py"\nprint(1)\n'''`],
    ['above', "**utils.py**\n'''python\nx = 1\n'''\n\n### `main.py`:\n\n'''python\nprint(1)\n'''"],
    ['in comments', "'''python\n# utils.py\nx = 1\n'''\n'''python\n# main.py\nprint(1)\n'''"],
  ])('that are files, named %s: one is wanted', (_, text) => {
    expect(extract(text)).toEqual({
      error:
        'The reply holds several files (utils.py, main.py), but one program is run: put all of it into one. Answer with the whole program in one ```python block.',
    });
  });
});

describe('a reply that cannot be used', () => {
  it.each([
    ['a fence without an end', `'''python\nprint(1)\nprint(`, 'length', 'print(1)\nprint('],
    ['no fence', 'import math\nprint(math.p', 'length', 'import math\nprint(math.p'],
    ['a second part', `'''python\nx = 1\n'''\nthen\n'''python\nprint(x`, 'length', 'x = 1\n\nprint(x'],
    ['in its thoughts', '<think>Let me see', 'length', undefined],
    ['in prose', 'I will now write', 'length', undefined],
  ])('was cut off: %s', (_, text, finishReason, code) => {
    const extracted = extract(text, finishReason);
    expect(extracted).toMatchObject({
      error: expect.stringContaining("cut off at the model's length limit"),
    });
    expect(extracted.code).toBe(code);
  });

  it('was cut off without saying so', () => {
    expect(extract(`'''python\nprint(1)\nprint(`)).toEqual({
      error:
        'The reply was cut off, its code block has no end: write a shorter program, and nothing around it.',
      code: 'print(1)\nprint(',
    });
  });

  it.each([
    ['', 'The reply holds no Python code: it is empty.'],
    [' \n\n', 'The reply holds no Python code: it is empty.'],
    ['<think>Hm.</think>\n', "The reply holds no Python code, only the model's thoughts: Hm."],
    [
      "I'm sorry, but I can't help with that.\nIf you like, ask for a program (in Python).",
      "The reply holds no Python code. It says: I'm sorry, but I can't help with that. If you like, ask for a program (in Python).",
    ],
    [
      "Run this:\n'''bash\npython main.py\n'''",
      'The reply holds no Python code: it holds a block marked bash, none marked python. It says: Run this:',
    ],
    [
      `'''json\n{"answer": 42}\n'''`,
      'The reply holds no Python code: it holds a block marked json, none marked python.',
    ],
    [
      "'''javascript\nlet x\n'''\n'''html\n<p>\n'''\n'''css\na {}\n'''",
      'The reply holds no Python code: it holds blocks marked javascript, html and css, none marked python.',
    ],
    ["'''\nHello there\n'''", 'The reply holds no Python code. It says: Hello there'],
    ["Here you are:\n'''python\n\n'''", 'The reply holds no Python code. It says: Here you are:'],
  ])('holds no code: %j', (text, error) => {
    expect(extract(text)).toEqual({ error });
  });

  it('was stopped by a content filter', () => {
    expect(extract('I', 'content_filter')).toEqual({
      error: "The model server's content filter stopped the reply.",
    });
  });

  it('was cut off after far too much code: some of it is enough', () => {
    expect(extract(`'''python\n${'x = 1\n'.repeat(100_000)}`, 'length').code).toHaveLength(60_000);
  });

  it('holds too much code', () => {
    const { error } = extract(`'''python\n${'x = 1\n'.repeat(11_000)}'''`);
    expect(error).toBe(
      'The program has 65999 characters, but at most 60000 are allowed: write a shorter one.',
    );
  });
});

describe('hostile replies take time in proportion to their length', () => {
  const many = 400_000;
  it.each([
    ['backticks', '`'.repeat(10_000_000)],
    ['fences', `${FENCE}\n`.repeat(many)],
    ['python fences', `${FENCE}python\n`.repeat(many / 2)],
    ['blocks', `${FENCE}python\nx=1\n${FENCE}\n`.repeat(many / 4)],
    ['strings that never end', `${FENCE}python\n"""\n${FENCE}\n'''\n`.repeat(many / 8)],
    ['blanks', ' '.repeat(10_000_000)],
    ['blanks after a fence', `${FENCE}python\n${' '.repeat(10_000_000)}`],
    ['thoughts', '<think></think>'.repeat(many / 4)],
    ['open thoughts', '<think>'.repeat(many)],
    ['closed thoughts', '</think>\n'.repeat(many / 2)],
    ['words', 'word '.repeat(many)],
    ['brackets', `print(${'('.repeat(many)}`],
    ['dots', `a${'.a'.repeat(many)}`],
    ['imports', `import ${'a, '.repeat(many)}`],
    ['short code lines', 'x = 1\n'.repeat(many)],
  ])('%s', (_, text) => {
    const halfTime = time(text.slice(0, text.length / 8));
    const whole = time(text);
    // Linear would be 8, quadratic 64; small times say nothing.
    expect(whole < 500 || whole / halfTime < 32).toBe(true);
  });

  function time(text: string): number {
    const begin = performance.now();
    extractCode(text, 'stop');
    const stream = new CodeStream();
    for (let at = 0; at < text.length; at += 4_096) stream.push(text.slice(at, at + 4_096));
    return performance.now() - begin;
  }
});

describe('the code while it is written', () => {
  const program = 'def f(n):\n    """Say `n`."""\n    return f"{n}"\n\n\nprint(f(1))';
  const show = (text: string, size: number) => {
    const stream = new CodeStream();
    const shown: string[] = [];
    for (let at = 0; at < text.length; at += size) shown.push(stream.push(text.slice(at, at + size)));
    return shown;
  };

  it.each([
    ['in a fence', `Sure:\n'''python\n${program}\n'''\nDone.`],
    ['CRLF', `'''python\r\n${program.replaceAll('\n', '\r\n')}\r\n'''\r\n`],
    ['in a list', `- So:\n  '''py\n${program.replace(/^(?=.)/gm, '  ')}\n  '''\n`],
    ['no language', `'''\n${program}\n'''`],
    ['after thoughts', `<think>\n'''python\nprint(0)\n'''\n</think>\n'''python\n${program}\n'''`],
    ['beside others', `'''bash\nls\n'''\n'''python\n${program}\n'''\n'''\n1\n'''\n`],
    ['no fence', `Here it is:\n\n${program}\n`],
  ])('is the code, however it is cut into pieces: %s', (_, text) => {
    for (const size of [1, 2, 3, 7, 50, 1_000]) {
      expect(show(reply(text), size).join('')).toBe(`${program}\n`);
      expect(extract(text)).toEqual({ code: program });
    }
  });

  it('is shown within a line, not only after it', () => {
    const stream = new CodeStream();
    expect(stream.push(`${FENCE}python\npri`)).toBe('pri');
    expect(stream.push('nt(1)')).toBe('nt(1)');
    expect(stream.push('\n``')).toBe('\n');
    expect(stream.push('`')).toBe('');
    expect(stream.push('\nprose')).toBe('');
  });
});
