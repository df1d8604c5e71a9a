/** The phases of an attempt and how long each took. */
import type { AttemptStatus } from '../../../functions/execution/execution.ts';
import type { AttemptState } from './reduce.ts';

export interface Phase {
  /** `Waiting` is for the sandbox. */
  name: 'Writing' | 'Checking' | 'Waiting' | 'Running';
  /** Seconds; of the phase under way, so far. */
  seconds: number;
  underWay: boolean;
}

const DOING: Partial<Record<AttemptStatus, string>> = {
  generating: 'The model is writing code',
  checking: 'Checking the code',
  waiting: 'Waiting for the sandbox',
  running: 'Running the code',
};

/** What an unfinished attempt is doing, as a sentence without its end; null of a finished one. */
export function doing({ status, modelWait }: Pick<AttemptState, 'status' | 'modelWait'>): string | null {
  if (status === 'generating' && modelWait) {
    const reason = modelWait.reason.replace(/^./, (first) => first.toUpperCase());
    return `${reason}, trying again in ${Math.ceil(modelWait.seconds)} s`;
  }
  return DOING[status] ?? null;
}

/** The phases that an attempt has entered. `now` in milliseconds. */
export function phasesOf(attempt: AttemptState, now: number): Phase[] {
  const { started_at, generated_at, checked_at, run_started_at, finished_at } = attempt;
  const starts: [Phase['name'], string | null][] = [
    ['Writing', started_at],
    ['Checking', generated_at],
    ['Waiting', checked_at],
    ['Running', run_started_at],
  ];
  const entered = starts.flatMap(([name, at]) => (at ? [{ name, start: Date.parse(at) }] : []));
  return entered.map(({ name, start }, index) => {
    const next = entered[index + 1]?.start ?? (finished_at ? Date.parse(finished_at) : undefined);
    return { name, seconds: Math.max(0, ((next ?? now) - start) / 1000), underWay: next === undefined };
  });
}
