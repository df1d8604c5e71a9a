/**
 * What AWS asks of a state machine beyond what its schema says, and what validators, emulators and the local runtime let
 * pass. `cdk synth` fails for a definition that breaks any of it, long before CreateStateMachine would refuse it, or an
 * execution end in `States.Runtime`, which nothing can catch.
 *
 * Each rule has what AWS says of it, in its own words or close to them, and where.
 */
import { followData, parseExpression } from './state-machine-data.ts';
import { type Machine, machinesIn, type Retrier, type State, type TaskState } from './states-language.ts';

/** What is known of a state machine beside its definition. */
export interface Facts {
  /** An input that it is started with. */
  input: unknown;
  /** By its tasks: one result of each kind that there can be, of functions what they answer. */
  results: Record<string, readonly unknown[]>;
  /** The length of the longest value that is found by a path, where one is put into a task's overrides. */
  longest: Record<string, number>;
  /** How often a state can be entered at most; the states not named: once. */
  entered: Record<string, number>;
}

interface Rule {
  says: string;
  source: string;
  /** Where it is broken, and how. */
  broken(machine: Machine, facts: Facts): string[];
}

const GUIDE = 'https://docs.aws.amazon.com/step-functions/latest/dg';
const ERRORS = `${GUIDE}/concepts-error-handling.html`;
const QUOTAS = `${GUIDE}/service-quotas.html`;
const TASKS = `${GUIDE}/state-task.html`;
const STRUCTURE = `${GUIDE}/statemachine-structure.html`;
const RUN_TASK = 'https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html';

const MAX_NAME = 80;
const MAX_SECONDS = 99_999_999;
const MAX_RETRIES = 99_999_999;
const MAX_DELAY = 31_622_400;
const MAX_DEFINITION = 1024 * 1024;
const MAX_HISTORY = 25_000;
const MAX_OVERRIDES = 8_192;
const MAX_NESTING = 10;
/** Bytes to allow for a value that is put in for `${Name}` at deployment. */
const SUBSTITUTED = 2_048;

const RESERVED_ERRORS = [
  'ALL',
  'BranchFailed',
  'DataLimitExceeded',
  'ExceedToleratedFailureThreshold',
  'HeartbeatTimeout',
  'Http.Socket',
  'IntrinsicFailure',
  'ItemReaderFailed',
  'NoChoiceMatched',
  'ParameterPathFailure',
  'Permissions',
  'ResultPathMatchFailure',
  'ResultWriterFailed',
  'Runtime',
  'TaskFailed',
  'Timeout',
];

const MANY = Number.POSITIVE_INFINITY;
/** The least and the most arguments of each. */
const INTRINSIC_FUNCTIONS: Record<string, [least: number, most: number]> = {
  Array: [0, MANY],
  ArrayContains: [2, 2],
  ArrayGetItem: [2, 2],
  ArrayLength: [1, 1],
  ArrayPartition: [2, 2],
  ArrayRange: [3, 3],
  ArrayUnique: [1, 1],
  Base64Decode: [1, 1],
  Base64Encode: [1, 1],
  Format: [1, MANY],
  Hash: [2, 2],
  JsonMerge: [3, 3],
  JsonToString: [1, 1],
  MathAdd: [2, 2],
  MathRandom: [2, 3],
  StringSplit: [2, 2],
  StringToJson: [1, 1],
  UUID: [0, 0],
};

const CONTEXT = [
  'Execution',
  'Execution.Id',
  'Execution.Input',
  'Execution.Name',
  'Execution.RedriveCount',
  'Execution.RedriveTime',
  'Execution.RoleArn',
  'Execution.StartTime',
  'State',
  'State.EnteredTime',
  'State.Name',
  'State.RetryCount',
  'StateMachine',
  'StateMachine.Id',
  'StateMachine.Name',
  'Task.Token',
];

/** The integrations that the workflow may use: how they may be called, and the parameters that each takes. */
const INTEGRATIONS: Record<string, { patterns: string[]; required: string[]; parameters: string[] }> = {
  'lambda:invoke': {
    patterns: ['', '.waitForTaskToken'],
    required: ['FunctionName'],
    parameters: ['ClientContext', 'FunctionName', 'InvocationType', 'Payload', 'Qualifier'],
  },
  'ecs:runTask': {
    patterns: ['', '.sync', '.waitForTaskToken'],
    required: ['TaskDefinition'],
    parameters: [
      'CapacityProviderStrategy',
      'ClientToken',
      'Cluster',
      'Count',
      'EnableECSManagedTags',
      'EnableExecuteCommand',
      'Group',
      'LaunchType',
      'NetworkConfiguration',
      'Overrides',
      'PlacementConstraints',
      'PlacementStrategy',
      'PlatformVersion',
      'PropagateTags',
      'ReferenceId',
      'StartedBy',
      'Tags',
      'TaskDefinition',
      'VolumeConfigurations',
    ],
  },
};

export const rules = {
  targets: {
    says: 'The value of Next must exactly match the name of another state in the state machine, and of StartAt one of its states; a state in a branch must not go to a state outside of it.',
    source: STRUCTURE,
    broken: (machine) =>
      machinesIn(machine).flatMap(([path, { StartAt, States }]) =>
        [
          ['StartAt', StartAt] as const,
          ...Object.entries(States).flatMap(([name, state]) =>
            targetsOf(state).map((target) => [name, target] as const),
          ),
        ]
          .filter(([, target]) => !Object.hasOwn(States, target))
          .map(([from, target]) => `${path}/${from}: there is no state ${target}`),
      ),
  },

  reachable: {
    says: 'MISSING_TRANSITION_TARGET: State "…" is not reachable.',
    source: 'https://github.com/localstack/localstack/pull/12487',
    broken: (machine) =>
      machinesIn(machine).flatMap(([path, { StartAt, States }]) => {
        const reached = new Set<string>();
        const visit = (name: string) => {
          const state = States[name];
          if (!state || reached.has(name)) return;
          reached.add(name);
          targetsOf(state).forEach(visit);
        };
        visit(StartAt);
        return Object.keys(States)
          .filter((name) => !reached.has(name))
          .map((name) => `${path}/States/${name} is not reachable from ${StartAt}`);
      }),
  },

  transitions: {
    says: 'Every state must have either Next or End, except for Choice, Succeed and Fail, which must have neither; a Choice state has at least one rule.',
    source: STRUCTURE,
    broken: (machine) =>
      everyState(machine).flatMap(([path, state]) => {
        const { Next, End } = state as { Next?: string; End?: boolean };
        const given = [Next !== undefined, End !== undefined].filter(Boolean).length;
        const wanted = ['Choice', 'Succeed', 'Fail'].includes(state.Type) ? 0 : 1;
        const findings = given === wanted ? [] : [`${path} has ${given} of Next and End, not ${wanted}`];
        if (state.Type === 'Choice' && state.Choices.length === 0) findings.push(`${path} has no choices`);
        return findings;
      }),
  },

  names: {
    says: 'State names must not exceed 80 characters in length, and must be unique within the scope of the whole state machine.',
    source: STRUCTURE,
    broken: (machine) => {
      const names = machinesIn(machine).flatMap(([, { States }]) => Object.keys(States));
      return [
        ...names
          .filter((name) => name.length === 0 || name.length > MAX_NAME)
          .map((name) => `${name}: has ${name.length} characters`),
        ...names
          .filter((name, at) => names.indexOf(name) !== at)
          .map((name) => `${name}: is there more than once`),
      ];
    },
  },

  retryAllLast: {
    says: 'States.ALL in a retrier must appear alone in the ErrorEquals array and must appear in the last retrier in the Retry array.',
    source: ERRORS,
    broken: (machine) => everyState(machine).flatMap(([path, state]) => allLast(path, 'Retry', state)),
  },

  catchAllLast: {
    says: 'States.ALL in a catcher must appear alone in the ErrorEquals array and must appear in the last catcher in the Catch array.',
    source: ERRORS,
    broken: (machine) => everyState(machine).flatMap(([path, state]) => allLast(path, 'Catch', state)),
  },

  oneRetrierEach: {
    says: 'Step Functions scans through the retriers in order and uses the first whose ErrorEquals has the error name. States.TaskFailed matches any known error name except for States.Timeout. What comes after is never used.',
    source: ERRORS,
    broken: (machine) =>
      everyState(machine).flatMap(([path, state]) =>
        (['Retry', 'Catch'] as const).flatMap((field) => {
          const earlier = new Set<string>();
          return handlersOf(state, field).flatMap(({ ErrorEquals }, at) => {
            const dead = ErrorEquals.filter(
              (name) =>
                earlier.has(name) ||
                (earlier.has('States.TaskFailed') && !/^States\.(ALL|.*Timeout)$/.test(name)),
            );
            for (const name of ErrorEquals) earlier.add(name);
            return dead.map((name) => `${path}/${field}/${at}: ${name} is matched before`);
          });
        }),
      ),
  },

  retriers: {
    says: 'IntervalSeconds: a positive integer, at most 99999999. MaxAttempts: 0 to 99999999. BackoffRate: at least 1.0. MaxDelaySeconds: greater than IntervalSeconds and less than 31622400. JitterStrategy: FULL or NONE.',
    source: ERRORS,
    broken: (machine) =>
      everyState(machine).flatMap(([path, state]) =>
        handlersOf(state, 'Retry').flatMap((retrier, at) => {
          const {
            ErrorEquals,
            IntervalSeconds = 1,
            MaxAttempts = 3,
            BackoffRate = 2,
            MaxDelaySeconds,
            JitterStrategy = 'NONE',
          } = retrier as Retrier;
          const findings = [
            ErrorEquals.length > 0 || 'ErrorEquals is empty',
            within(IntervalSeconds, 1, MAX_SECONDS) || `IntervalSeconds is ${IntervalSeconds}`,
            within(MaxAttempts, 0, MAX_RETRIES) || `MaxAttempts is ${MaxAttempts}`,
            BackoffRate >= 1 || `BackoffRate is ${BackoffRate}`,
            MaxDelaySeconds === undefined ||
              within(MaxDelaySeconds, IntervalSeconds + 1, MAX_DELAY - 1) ||
              `MaxDelaySeconds is ${MaxDelaySeconds} where IntervalSeconds is ${IntervalSeconds}`,
            ['FULL', 'NONE'].includes(JitterStrategy) || `JitterStrategy is ${JitterStrategy}`,
          ];
          return findings.flatMap((one) => (one === true ? [] : [`${path}/Retry/${at}: ${one}`]));
        }),
      ),
  },

  errorNames: {
    says: 'States can report errors with other names, but they must not begin with the States. prefix: that is for the names that the Amazon States Language defines.',
    source: ERRORS,
    broken: (machine) =>
      handledErrors(machine).flatMap(([path, name]) =>
        name.startsWith('States.') && !RESERVED_ERRORS.includes(name.slice('States.'.length))
          ? [`${path}: there is no error ${name}`]
          : [],
      ),
  },

  runtimeErrors: {
    says: 'A States.Runtime error is not retriable and always causes the execution to fail; a retry or catch on States.ALL does not catch it. The same goes for States.DataLimitExceeded, a terminal error.',
    source: ERRORS,
    broken: (machine) =>
      handledErrors(machine).flatMap(([path, name]) =>
        name === 'States.Runtime' || (name === 'States.DataLimitExceeded' && path.includes('/Retry/'))
          ? [`${path}: ${name} cannot be handled`]
          : [],
      ),
  },

  timeouts: {
    says: 'TimeoutSeconds and HeartbeatSeconds must be positive, non-zero integers, at most 99999999; HeartbeatSeconds less than TimeoutSeconds. A task must not have both TimeoutSeconds and TimeoutSecondsPath.',
    source: TASKS,
    broken: (machine) => [
      ...(within(machine.TimeoutSeconds ?? 1, 1, MAX_SECONDS)
        ? []
        : [`/TimeoutSeconds is ${machine.TimeoutSeconds}`]),
      ...tasksIn(machine).flatMap(([path, task]) => {
        const { TimeoutSeconds, TimeoutSecondsPath, HeartbeatSeconds, HeartbeatSecondsPath } = task;
        const findings = [
          within(TimeoutSeconds ?? 1, 1, MAX_SECONDS) || `TimeoutSeconds is ${TimeoutSeconds}`,
          within(HeartbeatSeconds ?? 1, 1, MAX_SECONDS) || `HeartbeatSeconds is ${HeartbeatSeconds}`,
          (HeartbeatSeconds ?? 0) < (TimeoutSeconds ?? MAX_SECONDS) ||
            `HeartbeatSeconds is ${HeartbeatSeconds} of ${TimeoutSeconds}`,
          !(TimeoutSeconds && TimeoutSecondsPath) || 'has TimeoutSeconds and TimeoutSecondsPath',
          !(HeartbeatSeconds && HeartbeatSecondsPath) || 'has HeartbeatSeconds and HeartbeatSecondsPath',
        ];
        return findings.flatMap((one) => (one === true ? [] : [`${path}: ${one}`]));
      }),
    ],
  },

  integrations: {
    says: 'Resource is arn:aws:states:::servicename:APIname, with .sync or .waitForTaskToken where the integration supports it. Parameters are in PascalCase; a field that the API has not is not supported by Step Functions.',
    source: `${GUIDE}/integrate-optimized.html`,
    broken: (machine) =>
      tasksIn(machine).flatMap(([path, { Resource, Parameters }]) => {
        const [, api = '', pattern = ''] = /^arn:aws:states:::(\w+:\w+)(\.\w+)?$/.exec(Resource) ?? [];
        const integration = INTEGRATIONS[api];
        if (!integration?.patterns.includes(pattern)) return [`${path}: there is no integration ${Resource}`];
        const given = Object.keys(Parameters).map((field) => field.replace(/\.\$$/, ''));
        return [
          ...given
            .filter((field) => !integration.parameters.includes(field))
            .map((field) => `${path}: ${api} has no parameter ${field}`),
          ...integration.required
            .filter((field) => !given.includes(field))
            .map((field) => `${path}: ${api} needs ${field}`),
        ];
      }),
  },

  taskTokens: {
    says: 'Specify a .waitForTaskToken resource to have a task pause until its token comes back, and pass the token with $$.Task.Token; the context object has it in such states only.',
    source: `${GUIDE}/connect-to-resource.html`,
    broken: (machine) =>
      tasksIn(machine).flatMap(([path, { Resource, Parameters }]) => {
        const passes = JSON.stringify(Parameters).includes('"$$.Task.Token"');
        if (passes === Resource.endsWith('.waitForTaskToken')) return [];
        return [
          `${path}: ${passes ? 'has no token that it could pass' : 'waits for a token that nobody has'}`,
        ];
      }),
  },

  capacity: {
    says: 'If a capacityProviderStrategy is specified, the launchType parameter must be omitted. A client token has up to 64 characters.',
    source: RUN_TASK,
    broken: (machine) =>
      runTasksIn(machine).flatMap(([path, { Parameters }]) =>
        'LaunchType' in Parameters && 'CapacityProviderStrategy' in Parameters
          ? [`${path}: has LaunchType and CapacityProviderStrategy`]
          : [],
      ),
  },

  overrides: {
    says: 'A total of 8192 characters are allowed for overrides. This limit includes the JSON formatting characters of the override structure.',
    source: RUN_TASK,
    broken: (machine, { longest }) =>
      runTasksIn(machine).flatMap(([path, { Parameters }]) => {
        const unknown: string[] = [];
        const length = JSON.stringify(Parameters.Overrides ?? {}, (field, value) => {
          if (!field.endsWith('.$')) return value;
          if (longest[value] === undefined) unknown.push(value);
          return 'x'.repeat(longest[value] ?? 0);
        }).length;
        return [
          ...unknown.map((value) => `${path}: nothing is known of the length of ${value}`),
          ...(length > MAX_OVERRIDES ? [`${path}: the overrides may have ${length} characters`] : []),
        ];
      }),
  },

  templates: {
    says: 'For key-value pairs where the value is selected using a path, the key name must end in .$; an object must not have duplicate field names after that is taken off.',
    source: `${GUIDE}/input-output-inputpath-params.html`,
    broken: (machine) =>
      templatesIn(machine).flatMap(([path, object]) => {
        const plain = Object.keys(object).map((field) => field.replace(/\.\$$/, ''));
        return [
          ...Object.entries(object)
            .filter(([field, value]) => {
              const selects = typeof value === 'string' && /^(\$(\.|\$\.|\[)|States\.\w+\()/.test(value);
              return selects !== field.endsWith('.$') && !(field.endsWith('.$') && value === '$');
            })
            .map(([field, value]) => `${path}/${field}: ${JSON.stringify(value)} is taken as it stands`),
          ...plain
            .filter((field, at) => plain.indexOf(field) !== at)
            .map((field) => `${path}: has ${field} twice`),
        ];
      }),
  },

  intrinsicFunctions: {
    says: 'States.Array, States.Format, States.StringSplit … : 18 intrinsic functions, each with its own number of arguments; strings in apostrophes; up to 10 in a field. States.Format has as many more arguments as its string has {}.',
    source: `${GUIDE}/intrinsic-functions.html`,
    broken: (machine) =>
      expressionsIn(machine).flatMap(([path, text]) => {
        let functions = 0;
        const findings: string[] = [];
        const check = (expression: ReturnType<typeof parseExpression>): void => {
          if (expression.kind !== 'call') return;
          functions += 1;
          const { name, args } = expression;
          const [least, most] = INTRINSIC_FUNCTIONS[name] ?? [MANY, -1];
          if (least > most) findings.push(`${path}: there is no function States.${name}`);
          else if (args.length < least || args.length > most) {
            findings.push(`${path}: States.${name} has ${args.length} arguments`);
          }
          const [first] = args;
          if (name === 'Format' && first?.kind === 'literal') {
            const places = String(first.value).match(/\{\}/g)?.length ?? 0;
            if (places !== args.length - 1) {
              findings.push(`${path}: States.Format has ${places} places for ${args.length - 1} values`);
            }
          }
          args.forEach(check);
        };
        try {
          check(parseExpression(text));
        } catch (error) {
          return [`${path}: ${(error as Error).message}`];
        }
        if (functions > MAX_NESTING) findings.push(`${path}: has ${functions} functions`);
        return findings;
      }),
  },

  plainPaths: {
    says: 'Intrinsic functions are supported in Parameters and ResultSelector alone. ResultPath must be a reference path into the input, and may not begin with $$.',
    source: `${GUIDE}/intrinsic-functions.html`,
    broken: (machine) =>
      everyState(machine).flatMap(([path, state]) => {
        const fields = Object.entries(state).filter(([field]) => /Path$/.test(field));
        const variables =
          state.Type === 'Choice'
            ? state.Choices.map((rule, at) => [`Choices/${at}/Variable`, rule.Variable] as const)
            : [];
        const results = handlersOf(state, 'Catch').map(
          (catcher, at) =>
            [`Catch/${at}/ResultPath`, (catcher as { ResultPath?: string }).ResultPath] as const,
        );
        return [...fields, ...variables, ...results]
          .filter(([, value]) => typeof value === 'string')
          .filter(([field, value]) =>
            String(field).endsWith('ResultPath')
              ? !/^\$(\.\w+|\[\d+\])*$/.test(String(value))
              : !String(value).startsWith('$'),
          )
          .map(([field, value]) => `${path}/${field}: ${value} is no path that it may have`);
      }),
  },

  context: {
    says: 'The context object has Execution (Id, Input, Name, RedriveCount, RedriveTime, RoleArn, StartTime), State (EnteredTime, Name, RetryCount), StateMachine (Id, Name) and Task (Token).',
    source: `${GUIDE}/input-output-contextobject.html`,
    broken: (machine) =>
      [...JSON.stringify(machine).matchAll(/\$\$\.([\w.]+)/g)].flatMap(([path, name = '']) =>
        CONTEXT.includes(name) || name.startsWith('Execution.Input.')
          ? []
          : [`${path}: is not in the context object`],
      ),
  },

  data: {
    says: 'States.Runtime: an execution failed due to some exception that it could not process. Often these errors are caused by errors at runtime, such as attempting to apply InputPath or OutputPath on a null JSON payload, or a path of Parameters or of a Choice that is not in the input.',
    source: ERRORS,
    broken: (machine, { input, results }) => followData(machine, input, results),
  },

  definitionSize: {
    says: 'Maximum size of a state machine definition: 1 MB. Hard quota.',
    source: QUOTAS,
    broken: (machine) => {
      const text = JSON.stringify(machine);
      const substituted = text.match(/\$\{\w+\}/g)?.length ?? 0;
      const size = Buffer.byteLength(text) + substituted * SUBSTITUTED;
      return size > MAX_DEFINITION ? [`the definition may have ${size} bytes`] : [];
    },
  },

  history: {
    says: 'Maximum execution history size: 25,000 events in a single state machine execution. If the execution history reaches this quota, the execution will fail.',
    source: QUOTAS,
    broken: (machine, facts) => {
      const events = longestHistory(machine, facts);
      return events > MAX_HISTORY ? [`an execution may have ${events} events`] : [];
    },
  },
} as const satisfies Record<string, Rule>;

/** What of the rules a state machine breaks, a line each; none if it may be deployed. */
export function brokenRules(machine: Machine, facts: Facts): string[] {
  // As Step Functions gets it: a field that is undefined is not there.
  const plain: Machine = JSON.parse(JSON.stringify(machine));
  return Object.entries(rules as Record<string, Rule>).flatMap(([name, { says, source, broken }]) =>
    broken(plain, facts).map((finding) => `${name}: ${finding}\n    ${says}\n    ${source}`),
  );
}

/** Events in the longest history that there can be: every state as often as it can be entered, each time with all retries. */
export function longestHistory(machine: Machine, { entered }: Pick<Facts, 'entered'>): number {
  const events = everyState(machine).map(([path, state]) => {
    const name = path.split('/').at(-1) ?? '';
    const retries = handlersOf(state, 'Retry').reduce(
      (sum, retrier) => sum + ((retrier as Retrier).MaxAttempts ?? 3),
      0,
    );
    // Scheduled, started, perhaps submitted, and how it went; of a Parallel state started and how it went.
    const tries =
      state.Type === 'Task' ? 3 + Number(!/:\w+$/.test(state.Resource)) : state.Type === 'Parallel' ? 2 : 0;
    return (entered[name] ?? 1) * (2 /* entered, exited */ + tries * (1 + retries));
  });
  return events.reduce((sum, one) => sum + one, 2 /* of the execution */);
}

const within = (value: number, least: number, most: number) =>
  Number.isInteger(value) && value >= least && value <= most;

/** All states, also those in branches, each with where it is. */
const everyState = (machine: Machine): [path: string, state: State][] =>
  machinesIn(machine).flatMap(([path, { States }]) =>
    Object.entries(States).map(([name, state]) => [`${path}/States/${name}`, state] as [string, State]),
  );

const tasksIn = (machine: Machine) =>
  everyState(machine).filter((entry): entry is [string, TaskState] => entry[1].Type === 'Task');

const runTasksIn = (machine: Machine) =>
  tasksIn(machine).filter(([, { Resource }]) => Resource.startsWith('arn:aws:states:::ecs:runTask'));

function handlersOf(state: State, field: 'Retry' | 'Catch'): { ErrorEquals: readonly string[] }[] {
  return state.Type === 'Task' || state.Type === 'Parallel' ? (state[field] ?? []) : [];
}

const handledErrors = (machine: Machine) =>
  everyState(machine).flatMap(([path, state]) =>
    (['Retry', 'Catch'] as const).flatMap((field) =>
      handlersOf(state, field).flatMap(({ ErrorEquals }, at) =>
        ErrorEquals.map((name) => [`${path}/${field}/${at}`, name] as const),
      ),
    ),
  );

function allLast(path: string, field: 'Retry' | 'Catch', state: State): string[] {
  const handlers = handlersOf(state, field);
  return handlers.flatMap(({ ErrorEquals }, at) => {
    if (!ErrorEquals.includes('States.ALL')) return [];
    if (ErrorEquals.length > 1) return [`${path}/${field}/${at}: States.ALL is not alone`];
    return at < handlers.length - 1 ? [`${path}/${field}/${at}: States.ALL is not last`] : [];
  });
}

function targetsOf(state: State): string[] {
  const {
    Next,
    Default,
    Choices = [],
  } = state as { Next?: string; Default?: string; Choices?: { Next: string }[] };
  const caught = handlersOf(state, 'Catch').map((catcher) => (catcher as unknown as { Next: string }).Next);
  return [Next, Default, ...Choices.map((rule) => rule.Next), ...caught].filter((name) => name !== undefined);
}

type Template = Record<string, unknown>;

/** The objects in payload templates, each with where it is. */
function templatesIn(machine: Machine): [path: string, object: Template][] {
  const objects = (path: string, value: unknown): [string, Template][] => {
    if (typeof value !== 'object' || value === null) return [];
    const inside = Object.entries(value).flatMap(([field, item]) => objects(`${path}/${field}`, item));
    return Array.isArray(value) ? inside : [[path, value as Template], ...inside];
  };
  return everyState(machine).flatMap(([path, state]) =>
    (['Parameters', 'ResultSelector'] as const).flatMap((field) =>
      objects(`${path}/${field}`, (state as Partial<Record<typeof field, Template>>)[field]),
    ),
  );
}

/** What fields that end in `.$` have, each with where it is. */
const expressionsIn = (machine: Machine) =>
  templatesIn(machine).flatMap(([path, object]) =>
    Object.entries(object)
      .filter(([field]) => field.endsWith('.$'))
      .map(([field, text]) => [`${path}/${field}`, String(text)] as const),
  );
