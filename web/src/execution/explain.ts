/** What happened, in one plain sentence each. */
import type { ErrorCategory, ExecutionStatus } from '../../../functions/execution/execution.ts';
import { count, duration } from '../text/format.ts';
import { doing } from './phases.ts';
import type { AttemptState, ExecutionState } from './reduce.ts';

export const STATUS_NAMES: Record<ExecutionStatus, string> = {
  queued: 'Queued',
  running: 'Running',
  succeeded: 'Succeeded',
  failed: 'Failed',
  cancelled: 'Cancelled',
};

export const CATEGORY_NAMES: Record<ErrorCategory, string> = {
  syntax_error: 'Syntax error',
  policy_violation: 'Against the policy',
  exception: 'Exception',
  test_failure: 'Test failed',
  timeout: 'Time limit',
  memory: 'Memory limit',
  no_code: 'No code',
  model_error: 'Model error',
  sandbox_error: 'Sandbox error',
};

/** Why an attempt failed. `timeout` is the execution's time limit in seconds. */
export function whyFailed(attempt: AttemptState, timeout: number): string {
  const { error_category: category, error_line: line, violations, execution_time } = attempt;
  const error = attempt.error ?? 'no reason was given';
  // "ZeroDivisionError: division by zero" without its class.
  const [, name = '', message = error] = /^(\w+): (.*)$/s.exec(error) ?? [];
  const where = line ? ` on line ${line}` : '';
  switch (category) {
    case 'syntax_error':
      return sentence(`The code is not valid Python${where}: ${message}`);
    case 'policy_violation': {
      const [first] = violations;
      if (!first) return sentence(`The policy does not allow this code: ${message}`);
      const more = violations.length - 1;
      const rest = more > 0 ? ` (and ${count(more, 'more place')})` : '';
      return sentence(`The policy does not allow line ${first.line}${rest}: ${first.message}`);
    }
    case 'exception':
      return sentence(`The program stopped with ${name || 'an error'}${where}: ${message}`);
    case 'test_failure':
      return sentence(`The program ran, but a test failed: ${message}`);
    case 'timeout':
      return `The program was stopped at the time limit of ${duration(timeout)}.`;
    case 'memory':
      return 'The program used more memory than it may, and was stopped.';
    case 'no_code':
      return sentence(`The model's answer held no program to run: ${error}`);
    case 'model_error':
      return sentence(error);
    case 'sandbox_error':
      return sentence(`The sandbox failed, not the code: ${message}`);
    case null:
      return attempt.status === 'cancelled'
        ? `Cancelled${execution_time === null ? ' before it had run' : ''}.`
        : sentence(error);
  }
}

const WAITING = 'Waiting to begin.';

/** Where an execution stands. */
export function progress(execution: ExecutionState): string {
  const attempt = execution.results.at(-1);
  const number = attempt ? `Attempt ${attempt.attempt} of ${execution.max_retries}` : '';
  switch (execution.status) {
    case 'queued':
      return execution.place_in_line === null
        ? WAITING
        : `Waiting for its turn: number ${execution.place_in_line} in line.`;
    case 'running':
      if (!attempt) return 'Starting.';
      if (attempt.status === 'failed') return `${number}: failed; the next one begins.`;
      return `${number}: ${(doing(attempt) ?? 'Finishing').replace(/^./, (first) => first.toLowerCase())}.`;
    case 'succeeded':
      return `Succeeded after ${count(execution.attempts, 'attempt')}${spent(execution)}.`;
    case 'failed':
      return `Failed after ${count(execution.attempts, 'attempt')}${spent(execution)}.`;
    case 'cancelled':
      return 'Cancelled.';
  }
}

/** Characters of a reason that are read aloud: who hears it cannot skim. The whole of it is on the page. */
const HEARD = 200;

/** The same for those who hear it, with the reason of a failure: once, when the next attempt begins or at the end. */
export function announcement(execution: ExecutionState): string {
  const { status, results, timeout } = execution;
  // Nobody wants to hear the line count down.
  if (status === 'queued') return WAITING;
  const failed = results.findLast((attempt) => attempt.status === 'failed');
  const begins = status === 'running' && results.at(-1)?.status === 'generating';
  if (!failed || !(begins || status === 'failed')) return progress(execution);
  const reason = whyFailed(failed, timeout);
  const heard = reason.length > HEARD ? `${reason.slice(0, HEARD)}…` : reason;
  return `${progress(execution)} Attempt ${failed.attempt} failed: ${heard}`;
}

const spent = ({ total_time }: ExecutionState) => (total_time === null ? '' : ` in ${duration(total_time)}`);

const sentence = (text: string) => (/[.!?…]$/.test(text) ? text : `${text}.`);
