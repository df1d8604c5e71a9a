/** The workflow as a document: valid, shown by infra/workflow.asl.json, and with the habits that keep it safe. */
import { existsSync } from 'node:fs';
import aslValidator from 'asl-validator';
import { describe, expect, test } from 'vitest';
import { type Machine, machinesIn, type TaskState } from '../../infra/states-language.ts';
import { workflow } from '../../infra/workflow.ts';

const text = JSON.stringify(workflow, null, 2);
const definition: Machine = JSON.parse(text);

const machines = machinesIn(definition).map(([, machine]) => machine);
const states = machines.flatMap((machine) => Object.entries(machine.States));
const tasks = states.filter((entry): entry is [string, TaskState] => entry[1].Type === 'Task');

describe('the workflow', () => {
  test('is what infra/workflow.asl.json shows', async () => {
    await expect(`${text}\n`).toMatchFileSnapshot('../../infra/workflow.asl.json');
  });

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

  test('every task has a time-out and retries, and so has the whole', () => {
    for (const [name, { TimeoutSeconds, TimeoutSecondsPath, Retry }] of tasks) {
      expect(TimeoutSeconds ?? TimeoutSecondsPath, name).toBeDefined();
      expect(Retry, name).not.toHaveLength(0);
    }
    expect(definition.TimeoutSeconds).toBeGreaterThan(0);
  });

  test('whatever fails, FinishExecution is reached', () => {
    for (const [name, state] of Object.entries(definition.States)) {
      if ((state.Type !== 'Task' && state.Type !== 'Parallel') || name === 'FinishExecution') continue;
      const { Catch = [] } = state;
      const all = Catch.find(({ ErrorEquals }) => ErrorEquals.includes('States.ALL'));
      expect(all?.Next, name).toBe('FinishExecution');
    }
  });

  test('every function it calls is a file', () => {
    const names = [...text.matchAll(/\$\{(\w+)FunctionArn\}/g)].map(([, name]) => name ?? '');
    expect(names.length).toBeGreaterThan(0);
    for (const name of new Set(names)) {
      const file = name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase();
      const found = [`functions/states/${file}.ts`, `sandbox-image/policy/${file.replaceAll('-', '_')}.py`];
      expect(found.some(existsSync), name).toBe(true);
    }
  });
});
