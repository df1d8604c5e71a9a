/** What a person is about to run: the prompt and how. Kept over a reload, each tab its own. */
import { keptAttempts } from '../../../functions/execution/attempts.ts';
import type {
  ExecuteRequest,
  Execution,
  Policy,
  ResumeRequest,
} from '../../../functions/execution/execution.ts';

export interface Draft {
  prompt: string;
  /** Settings that are null are left to the service. */
  maxRetries: number | null;
  timeout: number | null;
  policy: Policy | null;
  tests: string;
}

export const EMPTY_DRAFT: Draft = { prompt: '', maxRetries: null, timeout: null, policy: null, tests: '' };

/** The limits of the API. */
export const LIMITS = { prompt: 20_000, tests: 20_000, maxRetries: 10, timeout: 300 };

/** The demo model's scenarios, good first tasks for any model. */
export const EXAMPLES = [
  'Create a function to calculate factorial',
  'Implement quicksort algorithm with example',
  'Create code to analyze a list of numbers and find statistics',
];

export function toRequest({ prompt, maxRetries, timeout, policy, tests }: Draft): ExecuteRequest {
  return {
    prompt: prompt.trim(),
    ...(maxRetries !== null && { max_retries: maxRetries }),
    ...(timeout !== null && { timeout }),
    ...(policy !== null && { policy }),
    ...(tests.trim() && { tests }),
  };
}

/** The draft that would run an execution once more. */
export function toDraft({
  prompt,
  max_retries,
  timeout,
  policy,
  tests,
}: Pick<Execution, 'prompt' | 'max_retries' | 'timeout' | 'policy' | 'tests'>): Draft {
  return { prompt, maxRetries: max_retries, timeout, policy, tests: tests ?? '' };
}

/** The request that runs an execution once more. One that the service failed is gone on with, unless under another policy. */
export function toRepeat(
  one: Omit<Execution, 'final_result'>,
  policy = one.policy,
): ExecuteRequest | ResumeRequest {
  const goesOn = policy === one.policy && keptAttempts(one, one.results).length > 0;
  return goesOn ? { resumes: one.execution_id } : toRequest({ ...toDraft(one), policy });
}

/** Whether an execution that failed is worth to be run again under `standard`: it refuses less than `strict`. */
export function isPermittedByStandard({
  status,
  policy,
  results,
}: Pick<Execution, 'status' | 'policy' | 'results'>) {
  return status === 'failed' && policy === 'strict' && results.at(-1)?.standard_permits === true;
}

/** What keeps a draft from being run, as a sentence; null if nothing does. */
export function problemOf({ prompt, maxRetries, timeout, tests }: Draft): string | null {
  if (prompt.trim() === '') return 'Say first what the program should do.';
  if (prompt.length > LIMITS.prompt) return `The task may have at most ${LIMITS.prompt} characters.`;
  if (tests.length > LIMITS.tests) return `The tests may have at most ${LIMITS.tests} characters.`;
  if (
    maxRetries !== null &&
    !(Number.isInteger(maxRetries) && maxRetries >= 1 && maxRetries <= LIMITS.maxRetries)
  )
    return `Attempts must be a whole number from 1 to ${LIMITS.maxRetries}.`;
  if (timeout !== null && !(timeout > 0 && timeout <= LIMITS.timeout))
    return `The time limit must be more than 0 and at most ${LIMITS.timeout} seconds.`;
  return null;
}
