/** Amazon States Language as types, as far as the workflow needs it: JSONPath, standard workflows. */

/** What comes of a payload template; see `from`. */
type Template = Record<string, unknown>;

export interface Retrier {
  ErrorEquals: readonly string[];
  IntervalSeconds?: number;
  MaxAttempts?: number;
  BackoffRate?: number;
  MaxDelaySeconds?: number;
  JitterStrategy?: 'FULL' | 'NONE';
}

export interface Catcher<Name extends string = string> {
  ErrorEquals: readonly string[];
  ResultPath?: string | null;
  Next: Name;
}

interface ChoiceRule<Name extends string> {
  Variable: string;
  IsPresent?: boolean;
  StringEquals?: string;
  BooleanEquals?: boolean;
  Next: Name;
}

/** How a state gets its output to where it goes next, or ends its machine. */
type Transition<Name extends string> = { Next: Name; End?: never } | { End: true; Next?: never };

interface Described {
  Comment?: string;
}

export type TaskState<Name extends string = string> = Described & {
  Type: 'Task';
  Resource: string;
  Parameters: Template;
  TimeoutSeconds?: number;
  TimeoutSecondsPath?: string;
  HeartbeatSeconds?: number;
  HeartbeatSecondsPath?: string;
  ResultSelector?: Template;
  ResultPath?: string | null;
  OutputPath?: string | null;
  Retry?: Retrier[];
  Catch?: Catcher<Name>[];
} & Transition<Name>;

export type ParallelState<Name extends string = string> = Described & {
  Type: 'Parallel';
  Branches: Machine[];
  ResultSelector?: Template;
  ResultPath?: string | null;
  OutputPath?: string | null;
  Retry?: Retrier[];
  Catch?: Catcher<Name>[];
} & Transition<Name>;

export type PassState<Name extends string = string> = Described & {
  Type: 'Pass';
  Parameters?: Template;
  Result?: unknown;
  ResultPath?: string | null;
  OutputPath?: string | null;
} & Transition<Name>;

export type ChoiceState<Name extends string = string> = Described & {
  Type: 'Choice';
  Choices: ChoiceRule<Name>[];
  Default: Name;
};

export type WaitState<Name extends string = string> = Described & {
  Type: 'Wait';
  Seconds: number;
} & Transition<Name>;

export type SucceedState = Described & { Type: 'Succeed' };

export type State<Name extends string = string> =
  | TaskState<Name>
  | ParallelState<Name>
  | PassState<Name>
  | ChoiceState<Name>
  | WaitState<Name>
  | SucceedState;

/** A state machine, or a branch of a Parallel state. */
export interface Machine {
  Comment?: string;
  StartAt: string;
  TimeoutSeconds?: number;
  States: Record<string, State>;
}

/** A machine whose states can go to each other only: a name that is not there does not compile. */
export function machine<const Name extends string>(definition: {
  Comment?: string;
  StartAt: NoInfer<Name>;
  TimeoutSeconds?: number;
  States: { [N in Name]: State<NoInfer<Name>> };
}): Machine {
  return definition;
}

const EXPRESSION = Symbol('expression');

/**
 * A value that Step Functions fills in where a payload is made: a path into the state's input (`$.…`) or the context
 * (`$$.…`), or an intrinsic function. `T` is what it will be, so that it can stand where such a value is expected.
 */
export const from = <T = unknown>(expression: string) => ({ [EXPRESSION]: expression }) as T;

/** A payload template of a value that has `from` in it: its field gets the name that asks for that, `field.$`. */
export function template(value: object, rename = (field: string) => field): Template {
  const convert = (item: unknown): unknown => {
    if (Array.isArray(item)) return item.map(convert);
    return typeof item === 'object' && item !== null ? template(item, rename) : item;
  };
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([field, item]) => {
        const expression = (item as { [EXPRESSION]?: string } | null)?.[EXPRESSION];
        return expression ? [`${rename(field)}.$`, expression] : [rename(field), convert(item)];
      }),
  );
}

/** Step Functions writes the fields of other services' requests with a capital. */
export const capitalized = (field: string) => field.charAt(0).toUpperCase() + field.slice(1);

/** A machine and those inside it, each with where it is, as a JSON pointer. */
export function machinesIn(outer: Machine, path = ''): [path: string, machine: Machine][] {
  return [
    [path, outer],
    ...Object.entries(outer.States).flatMap(([name, state]) =>
      state.Type === 'Parallel'
        ? state.Branches.flatMap((branch, n) => machinesIn(branch, `${path}/States/${name}/Branches/${n}`))
        : [],
    ),
  ];
}
