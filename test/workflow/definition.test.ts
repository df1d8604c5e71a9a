/** infra/workflow.asl.json as a document: valid, and with the habits that keep it safe. */
import { existsSync, readFileSync } from 'node:fs';
import aslValidator from 'asl-validator';
import { describe, expect, test } from 'vitest';

interface State {
  Type: string;
  Resource?: string;
  Next?: string;
  Default?: string;
  End?: boolean;
  Choices?: { Next: string }[];
  Catch?: { ErrorEquals: string[]; Next: string }[];
  Retry?: { ErrorEquals: string[] }[];
  Branches?: Machine[];
  TimeoutSeconds?: number;
  TimeoutSecondsPath?: string;
}
interface Machine {
  StartAt: string;
  States: Record<string, State>;
}

const text = readFileSync('infra/workflow.asl.json', 'utf8');
const definition: Machine & { TimeoutSeconds: number } = JSON.parse(text);

const machines = (machine: Machine): Machine[] => [
  machine,
  ...Object.values(machine.States).flatMap(({ Branches = [] }) => Branches.flatMap(machines)),
];
const states = machines(definition).flatMap((machine) => Object.entries(machine.States));
const tasks = states.filter(([, { Type }]) => Type === 'Task');

describe('workflow.asl.json', () => {
  test('is valid Amazon States Language', () => {
    const filled = text.replaceAll(/\$\{\w+\}/g, 'arn:aws:lambda:us-east-1:000000000000:function:any');
    const { isValid, errorsText } = aslValidator(JSON.parse(filled), { checkPaths: true, checkArn: true });
    expect(isValid, errorsText('\n')).toBe(true);
  });

  test('has the states of the design', () => {
    const names = states.map(([name]) => name);
    const designed = [
      'AcquireSandbox',
      'StartSandbox',
      'GenerateCode',
      'CheckCode',
      'RunCode',
      'FinishExecution',
    ];
    expect(names).toEqual(expect.arrayContaining(designed));
    expect(new Set(names).size).toBe(names.length);
  });

  test('every state can be reached, and none leads nowhere', () => {
    for (const { StartAt, States } of machines(definition)) {
      const targets = Object.values(States).flatMap(({ Next, Default, Choices = [], Catch = [] }) => [
        ...[Next, Default].flatMap((name) => name ?? []),
        ...[...Choices, ...Catch].map((choice) => choice.Next),
      ]);
      for (const target of targets) expect(States).toHaveProperty(target);
      expect(new Set([StartAt, ...targets])).toEqual(new Set(Object.keys(States)));
    }
  });

  // AWS refuses the state machine otherwise, and no validator says so.
  test('States.ALL stands alone, and last of what is retried and caught', () => {
    for (const [name, { Retry = [], Catch = [] }] of states) {
      for (const rules of [Retry, Catch]) {
        const wild = rules.filter(({ ErrorEquals }) => ErrorEquals.includes('States.ALL'));
        for (const rule of wild) {
          expect(rule.ErrorEquals, name).toEqual(['States.ALL']);
          expect(rule, name).toBe(rules.at(-1));
        }
      }
    }
  });

  test('every task has a time-out and retries, and so has the whole', () => {
    for (const [name, { TimeoutSeconds, TimeoutSecondsPath, Retry }] of tasks) {
      expect(TimeoutSeconds ?? TimeoutSecondsPath, name).toBeDefined();
      expect(Retry, name).not.toHaveLength(0);
    }
    expect(definition.TimeoutSeconds).toBeGreaterThan(0);
  });

  test('whatever fails, FinishExecution is reached', () => {
    for (const [name, { Type, Catch = [] }] of Object.entries(definition.States)) {
      if ((Type !== 'Task' && Type !== 'Parallel') || name === 'FinishExecution') continue;
      const all = Catch.find(({ ErrorEquals }) => ErrorEquals.includes('States.ALL'));
      expect(all?.Next, name).toBe('FinishExecution');
    }
  });

  test('every function it calls is a file', () => {
    const names = [...text.matchAll(/\$\{(\w+)FunctionArn\}/g)].map(([, name]) => name ?? '');
    expect(names.length).toBeGreaterThan(0);
    for (const name of new Set(names)) {
      const file = name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase();
      const found = [`functions/workflow/${file}.ts`, `sandbox-image/policy/${file.replaceAll('-', '_')}.py`];
      expect(found.some(existsSync), name).toBe(true);
    }
  });
});
