/**
 * Follows the data of a state machine through all its states, with examples for the results of its tasks: does each
 * path find what it names? On AWS one that does not ends the execution, and nothing catches it.
 */
import type { ChoiceState, Machine, State, TaskState } from './states-language.ts';

export type Expression =
  | { kind: 'path'; path: string }
  | { kind: 'literal'; value: string | number | boolean | null }
  | { kind: 'call'; name: string; args: Expression[] };

/** Parses a path or an intrinsic function. @throws Error that says what is wrong with it */
export function parseExpression(text: string): Expression {
  let at = 0;
  const fail = (what: string): never => {
    throw new Error(`${text}: ${what}`);
  };
  const take = (pattern: RegExp): string | undefined => {
    const [found] = new RegExp(pattern.source, 'y').exec(text.slice(at)) ?? [];
    if (found !== undefined) at += found.length;
    return found;
  };
  const parse = (): Expression => {
    take(/\s*/);
    const path = take(/\$\$?(\.[\w-]+|\[\d+\])*/);
    if (path) return { kind: 'path', path };
    const name = take(/States\.\w+\(/);
    if (name) {
      const args: Expression[] = [];
      take(/\s*/);
      if (!take(/\)/)) {
        do args.push(parse());
        while (take(/\s*,/));
        if (!take(/\s*\)/)) fail('has no closing bracket');
      }
      return { kind: 'call', name: name.slice('States.'.length, -1), args };
    }
    const quoted = take(/'(?:[^'\\]|\\['{}\\])*'/);
    if (quoted) return { kind: 'literal', value: quoted.slice(1, -1) };
    const other = take(/-?\d+(\.\d+)?|null|true|false/);
    if (other) return { kind: 'literal', value: JSON.parse(other) };
    return fail('is neither a path nor an intrinsic function with arguments that it may have');
  };
  const expression = parse();
  take(/\s*/);
  if (at < text.length) fail(`has ${text.slice(at)} after its end`);
  return expression;
}

class Missing extends Error {}

const CONTEXT = {
  Execution: { Id: 'arn', Input: {}, Name: 'name', RoleArn: 'arn', StartTime: 'time', RedriveCount: 0 },
  State: { EnteredTime: 'time', Name: 'name', RetryCount: 0 },
  StateMachine: { Id: 'arn', Name: 'name' },
  Task: { Token: 'token' },
};

/** What a state goes on with, and where. */
interface Step {
  next: string | undefined;
  data: unknown;
}

type Results = Record<string, readonly unknown[]>;

/** What is wrong, a line each: paths that find nothing, and states that no example leads to. */
export function followData(machine: Machine, input: unknown, results: Results): string[] {
  const findings = new Set<string>();
  run(machine, [input], results, findings);
  return [...findings];
}

/** Runs a machine with each of `inputs`, every task with each of its results; gives all outputs that there can be. */
function run(machine: Machine, inputs: unknown[], results: Results, findings: Set<string>): unknown[] {
  const seen = new Set<string>();
  const outputs = new Map<string, unknown>();
  const queue: Step[] = inputs.map((data) => ({ next: machine.StartAt, data }));
  for (let step = queue.shift(); step; step = queue.shift()) {
    const { next: name, data } = step;
    if (name === undefined) {
      outputs.set(JSON.stringify(data), data);
      continue;
    }
    const key = `${name} ${JSON.stringify(data)}`;
    const state = machine.States[name];
    if (!state || seen.has(key)) continue;
    seen.add(key);
    try {
      queue.push(...enter(name, state, data, results, findings));
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      findings.add(`${name}: ${error.message}`);
    }
  }
  const entered = new Set([...seen].map((key) => key.slice(0, key.indexOf(' '))));
  for (const name of Object.keys(machine.States)) {
    if (!entered.has(name)) findings.add(`${name}: no result that is given leads to it`);
  }
  return [...outputs.values()];
}

function enter(name: string, state: State, data: unknown, results: Results, findings: Set<string>): Step[] {
  const go = (output: unknown): Step => ({ next: 'Next' in state ? state.Next : undefined, data: output });
  switch (state.Type) {
    case 'Succeed':
      return [go(data)];
    case 'Wait':
      return [go(data)];
    case 'Choice':
      return [{ next: choose(state, data), data }];
    case 'Pass': {
      const result =
        'Result' in state ? state.Result : state.Parameters ? fill(state.Parameters, data) : data;
      return [go(output(state, data, result))];
    }
    case 'Task': {
      const parameters = fill(state.Parameters, data);
      if (state.TimeoutSecondsPath) {
        const seconds = find(state.TimeoutSecondsPath, data);
        if (!Number.isInteger(seconds) || Number(seconds) <= 0) {
          throw new Missing(`${state.TimeoutSecondsPath} is ${seconds}, which is no time in seconds`);
        }
      }
      const known = results[name] ?? [];
      if (known.length === 0) throw new Missing('no example of its results is given');
      // Errors first, and in any case: what its result is used for may be wrong.
      return [
        ...caught(state, data),
        ...known.map((result) => go(output(state, data, wrapped(state, parameters, result)))),
      ];
    }
    case 'Parallel': {
      const branches = state.Branches.map((branch) => run(branch, [data], results, findings));
      const combined = branches.reduce<unknown[][]>(
        (rows, outputs) => rows.flatMap((row) => outputs.map((one) => [...row, one])),
        [[]],
      );
      return [...caught(state, data), ...combined.map((result) => go(output(state, data, result)))];
    }
  }
}

/** The result as the integration gives it. */
function wrapped({ Resource }: TaskState, _parameters: unknown, result: unknown): unknown {
  if (!Resource.endsWith(':lambda:invoke')) return result;
  return { ExecutedVersion: '$LATEST', Payload: result, StatusCode: 200 };
}

/** An error's output usually has a Cause, and always an Error. */
const caught = ({ Catch = [] }: Pick<TaskState, 'Catch'>, data: unknown): Step[] =>
  Catch.map(({ ErrorEquals: [name], ResultPath = '$', Next }) => ({
    next: Next,
    data: placed(data, ResultPath, { Error: name }),
  }));

function output(
  state: { ResultSelector?: object; ResultPath?: string | null; OutputPath?: string | null },
  data: unknown,
  result: unknown,
): unknown {
  const selected = state.ResultSelector ? fill(state.ResultSelector, result) : result;
  const { ResultPath = '$', OutputPath = '$' } = state;
  const whole = placed(data, ResultPath, selected);
  return OutputPath === null ? {} : find(OutputPath, whole);
}

/** The input with the result where `path` says; null: the input as it was. */
function placed(data: unknown, path: string | null, result: unknown): unknown {
  if (path === null) return data;
  const [, ...fields] = path.split('.');
  const place = (into: unknown, [field, ...rest]: string[]): unknown =>
    field === undefined
      ? result
      : { ...(into as object), [field]: place((into as Record<string, unknown> | undefined)?.[field], rest) };
  return place(data, fields);
}

function fill(template: unknown, data: unknown): unknown {
  if (Array.isArray(template)) return template.map((item) => fill(item, data));
  if (typeof template !== 'object' || template === null) return template;
  return Object.fromEntries(
    Object.entries(template).map(([field, value]) =>
      field.endsWith('.$')
        ? [field.slice(0, -2), evaluate(parseExpression(String(value)), data)]
        : [field, fill(value, data)],
    ),
  );
}

/** Of a function only whether its arguments are there matters here: its value is its name. */
function evaluate(expression: Expression, data: unknown): unknown {
  if (expression.kind === 'path') return find(expression.path, data);
  if (expression.kind === 'literal') return expression.value;
  for (const argument of expression.args) evaluate(argument, data);
  return `States.${expression.name}`;
}

function find(path: string, data: unknown): unknown {
  const [root = '', ...steps] = path.match(/^\$\$?|[\w-]+/g) ?? [];
  let value: unknown = root === '$$' ? CONTEXT : data;
  for (const step of steps) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) {
      throw new Missing(`nothing is at ${path} of ${JSON.stringify(data)}`);
    }
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

function choose({ Choices, Default }: ChoiceState, data: unknown): string {
  const rule = Choices.find(({ Variable, IsPresent, StringEquals, BooleanEquals }) => {
    if (IsPresent !== undefined) return isPresent(Variable, data) === IsPresent;
    const value = find(Variable, data);
    return value === StringEquals || (BooleanEquals !== undefined && value === BooleanEquals);
  });
  const next = rule?.Next ?? Default;
  if (next === undefined) throw new Missing(`no choice matches ${JSON.stringify(data)}`);
  return next;
}

function isPresent(path: string, data: unknown): boolean {
  try {
    find(path, data);
    return true;
  } catch (error) {
    if (error instanceof Missing) return false;
    throw error;
  }
}
