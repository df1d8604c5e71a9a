/** What is asked for: tasks whose replies, output and end are known. */
import { python } from '../support/model-server.ts';
import type { Random } from './random.ts';

export interface Task {
  /** What the prompt begins with; in no other one's. */
  name: string;
  request: {
    prompt: string;
    max_retries: number;
    timeout: number;
    policy: 'strict' | 'standard';
    tests?: string;
  };
  /** What the model replies at the first, second … attempt; the last one at all later ones too. */
  replies: string[];
  expected: { status: 'succeeded'; output: string; file: string | null } | { status: 'failed' };
  idempotencyKey: string | null;
  prefer: string;
  /** Milliseconds after the begin, and after it was acknowledged. */
  postAfter: number;
  cancelAfter: number | null;
}

type Script = Pick<Task, 'replies' | 'expected'> & Partial<Task['request']>;

const succeeds = (output: string, ...replies: string[]): Script => ({
  replies,
  expected: { status: 'succeeded', output, file: null },
});

/** Seconds that are no bound to a program that does its work, on a busy machine either. */
const AMPLE = 30;

const KINDS: Record<string, (name: string, random: Random) => Script> = {
  prints: (name) => succeeds(`${name}\n`, python(`print("${name}")`)),
  isRepaired: (name) => succeeds(`${name}\n`, python('1 / 0'), python(`print("${name}")`)),
  isNotAllowed: (name) =>
    succeeds(
      `${name}\n`,
      python('print('),
      python('import subprocess\nprint(1)'),
      python(`print("${name}")`),
    ),
  isMissing: (name) => succeeds(`${name}\n`, 'That cannot be done.', python(`print("${name}")`)),
  takesItsTime: (name, random) => {
    const steps = random.between(2, 8);
    const lines = Array.from({ length: steps }, (_, step) => `${name} ${step}\n`);
    const code = `import time\nfor step in range(${steps}):\n    print("${name}", step, flush=True)\n    time.sleep(0.25)`;
    return succeeds(lines.join(''), python(code));
  },
  printsMuch: (name, random) => {
    const count = random.between(2_000, 20_000);
    return succeeds(`${name}\n`.repeat(count), python(`for _ in range(${count}):\n    print("${name}")`));
  },
  writesFile: (name) => ({
    replies: [python(`with open("file.txt", "w") as file:\n    file.write("${name}")\nprint("written")`)],
    expected: { status: 'succeeded', output: 'written\n', file: name },
    policy: 'standard',
  }),
  isTested: (name) => ({
    ...succeeds(`${name}\n`, python('answer = 41'), python(`answer = 42\nprint("${name}")`)),
    tests: 'assert answer == 42',
  }),
  runsTooLong: (name) => ({
    ...succeeds(`${name}\n`, python('import time\ntime.sleep(600)'), python(`print("${name}")`)),
    timeout: 3,
  }),
  neverWorks: (name) => ({
    replies: [python(`raise ValueError("${name}")`)],
    expected: { status: 'failed' },
    max_retries: 2,
  }),
};

export function drawTasks(random: Random, count: number, milliseconds: number): Task[] {
  return Array.from({ length: count }, (_, number) => {
    const name = `Task ${number}.`;
    const kind = random.pick(Object.keys(KINDS));
    const { replies, expected, ...request } = (KINDS[kind] as (typeof KINDS)[string])(name, random);
    return {
      name,
      request: {
        prompt: `${name} It ${kind}.`,
        max_retries: 10,
        timeout: AMPLE,
        policy: 'strict',
        ...request,
      },
      replies,
      expected,
      idempotencyKey: random.chance(0.6) ? `key-${number}` : null,
      prefer: random.pick(['respond-async', 'wait=2', 'wait=20']),
      postAfter: random.between(0, milliseconds),
      cancelAfter: random.chance(0.1) ? random.between(0, 3_000) : null,
    };
  });
}
