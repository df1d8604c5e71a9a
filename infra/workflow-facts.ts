/**
 * What is known of the workflow beside its definition, which its rules are checked with: examples of what its functions
 * answer, of each form one. That they answer in these forms only is held by test/workflow/facts.test.ts.
 */
import { LIMITS } from '../functions/execution/execution.ts';
import type { NextStep } from '../functions/execution/lifecycle.ts';
import type { handler as acquireSandbox } from '../functions/states/acquire-sandbox.ts';
import type { handler as finishExecution } from '../functions/states/finish-execution.ts';
import type { handler as generateCode } from '../functions/states/generate-code.ts';
import type { handler as recordSandbox } from '../functions/states/record-sandbox.ts';
import type { handler as recoverRun } from '../functions/states/recover-run.ts';
import type { handler as rejectCode } from '../functions/states/reject-code.ts';
import type { Facts } from './state-machine-rules.ts';

// biome-ignore lint/suspicious/noExplicitAny: of a handler only its result is of interest.
type Answers<Handler extends (...parameters: any[]) => unknown> = Awaited<ReturnType<Handler>>[];

const execution_id = 'b5c1…';
const step = <Next extends NextStep['next']>(next: Next) => ({ execution_id, attempt: 1, next });
const generated = { policy: 'strict', run_timeout: 270 } as const;
const sandbox_id = 'sandbox-5b0…';
const checked = {
  error_category: null,
  error: null,
  error_line: null,
  violations: [],
  standard_permits: false,
};

export const facts: Facts = {
  input: { execution_id },
  results: {
    AcquireSandbox: [
      { execution_id },
      { execution_id, start: { sandbox_id, manifest_url: 'https://…', capacity_provider: 'FARGATE_SPOT' } },
    ] satisfies Answers<typeof acquireSandbox>,
    StartSandbox: [
      { Tasks: [{ TaskArn: 'arn:…' }], Failures: [] },
      { Tasks: [], Failures: [{ Reason: 'RESOURCE:CPU' }] },
    ],
    RecordSandbox: [{ sandbox_id }] satisfies Answers<typeof recordSandbox>,
    GenerateCode: [
      { ...step('check'), ...generated, code_url: 'https://…' },
      { ...step('run'), ...generated },
      { ...step('generate'), ...generated },
      { ...step('finish'), ...generated },
      // The execution has ended.
      step('finish'),
    ] satisfies Answers<typeof generateCode>,
    CheckCode: [
      { allowed: true, ...checked },
      { allowed: false, ...checked },
    ],
    RejectCode: [step('generate'), step('finish')] satisfies Answers<typeof rejectCode>,
    // What its token is answered with.
    RunCode: [step('generate'), step('finish')] satisfies NextStep[],
    RecoverRun: [step('run'), step('generate'), step('finish')] satisfies Answers<typeof recoverRun>,
    FinishExecution: [{ execution_id }] satisfies Answers<typeof finishExecution>,
  },
  longest: {
    // A URL that is signed with the credentials of a function has its session token in it, of up to 2 KB.
    '$.start.manifest_url': 4_096,
  },
  entered: (() => {
    const { maxRetries: attempts, lossesInAll, sandboxStarts } = LIMITS;
    // Once at first, and for each sandbox that is lost; as often again for those that are lost while nothing runs in them.
    const rounds = 1 + 2 * lossesInAll;
    const starts = rounds * sandboxStarts;
    const prepared = attempts + rounds;
    return {
      MakeAttempts: rounds,
      AfterAttempts: rounds,
      AcquireSandbox: rounds,
      SandboxToStart: rounds,
      SandboxAcquired: rounds,
      StartSandbox: starts,
      StartRefused: starts,
      RecordSandbox: starts,
      TakeOnDemand: starts,
      WaitForCapacity: starts,
      GenerateCode: prepared,
      AfterGenerate: prepared,
      CheckCode: prepared,
      CodeAllowed: prepared,
      RejectCode: attempts,
      RunCode: prepared,
      RecoverRun: lossesInAll,
      AfterAttempt: prepared,
      AttemptsOver: rounds,
    };
  })(),
};
