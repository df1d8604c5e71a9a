/** Code that did not pass CheckCode: its attempt has failed, and the message goes back to the model. */
import { endAttempt, finishStep, type NextStep, stepAfter } from './lifecycle.ts';
import { type AttemptRecord, getAttempt, openWork } from './records.ts';

/** What CheckCode says of code that it refuses. */
type Refusal = Pick<AttemptRecord, 'error_category' | 'error_line' | 'violations' | 'standard_permits'> & {
  error: string;
};

export async function rejectAttempt(id: string, attempt: number, refusal: Refusal): Promise<NextStep> {
  const [work, record] = await Promise.all([openWork(id), getAttempt(id, attempt)]);
  if (!work || !record) return finishStep(id, attempt);
  const { error, violations } = refusal;
  const because = { type: 'check.failed', attempt, error, violations } as const;
  const { record: ended = record } = await endAttempt(work, record, 'failed', refusal, { because });
  return stepAfter(work.execution, ended);
}
